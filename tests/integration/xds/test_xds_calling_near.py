"""Which of a service's instances are near, and how new ones warm up, by who answers."""

import asyncio
import json
from collections import Counter

import pytest
import pytest_asyncio
from xds_mesh import Mesh, mesh_config, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOST = "catalog.shop.svc.cluster.local"
PLACES = {"near": "r1/z1/s1", "zone": "r1/z2/s1", "region": "r2/z1/s1", "far": "r3/z1/s1"}
DETECTION = (
    "outlierDetection: {consecutive5xxErrors: 2, interval: 100ms, baseEjectionTime: 60s, maxEjectionPercent: 100}"
)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def mesh():
    async with Mesh() as mesh:
        for version, place in PLACES.items():
            labels = {"tier": "gold" if version in {"region", "far"} else "iron", "rack": version}
            await mesh.workload("catalog", version, locality=place, labels=labels)
        await mesh.workload("frontend", locality=PLACES["near"], labels={"tier": "gold", "rack": "far"})
        await mesh.workload("visitor", locality=PLACES["region"])
        await mesh.workload("stranger")
        yield mesh


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def plain(mesh):
    for workload in mesh.workloads.values():
        workload.fail = Counter()
    await mesh.forget("DestinationRule", "ConfigMap")


@pytest.fixture
def frontend(mesh):
    return mesh.workloads["frontend"]


async def rule(mesh, policy):
    """Apply a policy, without retries, so that every failure is seen."""
    await mesh.apply(
        f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: catalog}}
spec: {{host: catalog, trafficPolicy: {{{policy}}}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: catalog}}
spec: {{hosts: [catalog], http: [{{route: [{{destination: {{host: catalog}}}}], retries: {{attempts: 0}}}}]}}
"""
    )


async def answering(mesh, caller, count=40):
    found = await mesh.share(caller, "catalog/", count=count)
    return {str(name).removeprefix("catalog-"): number for name, number in found.items()}


async def fail(mesh, *versions):
    """Have instances fail until their callers leave them alone."""
    for version in versions:
        mesh.workloads[f"catalog-{version}"].fail[500] = 10_000


async def turn_to(mesh, caller, expected):
    """Send requests until only these instances answer."""

    async def settled():
        return set(await answering(mesh, caller, 20)) == expected

    await until(settled)


async def test_without_outlier_detection_every_place_is_as_good_as_any(mesh, frontend):
    await rule(mesh, "loadBalancer: {simple: ROUND_ROBIN}")
    assert await answering(mesh, frontend) == dict.fromkeys(PLACES, 10)


async def test_with_outlier_detection_the_nearest_answer_and_the_next_take_over(mesh, frontend):
    await rule(mesh, DETECTION)
    assert set(await answering(mesh, frontend)) == {"near"}
    assert set(await answering(mesh, mesh.workloads["visitor"])) == {"region"}
    await fail(mesh, "near")
    await turn_to(mesh, frontend, {"zone"})
    await fail(mesh, "zone")
    await turn_to(mesh, frontend, {"region", "far"})


async def test_a_caller_of_unknown_place_asks_everybody(mesh):
    await rule(mesh, DETECTION)
    assert set(await answering(mesh, mesh.workloads["stranger"])) == set(PLACES)


PREFERS = """
apiVersion: v1
kind: Service
metadata: {{name: catalog, annotations: {{{annotation}}}}}
spec: {{selector: {{app: catalog}}, ports: [{{name: http, port: 80, targetPort: http}}]{field}}}
"""


@pytest.mark.parametrize(
    ("annotation", "field"),
    [
        ("", ", trafficDistribution: PreferSameZone"),
        ("networking.istio.io/traffic-distribution: PreferClose", ""),
    ],
)
async def test_a_service_may_prefer_callers_of_the_same_zone_without_any_rule(mesh, frontend, annotation, field):
    await mesh.apply(PREFERS.format(annotation=annotation, field=field))
    assert set(await answering(mesh, frontend)) == {"near"}
    assert set(await answering(mesh, mesh.workloads["visitor"])) == {"region"}
    await mesh.apply(PREFERS.format(annotation="", field=""))
    assert set(await answering(mesh, frontend)) == set(PLACES)


async def test_zones_share_what_the_nearest_cannot_bear(mesh, frontend):
    await rule(mesh, f"loadBalancer: {{simple: ROUND_ROBIN, zoneAwareLbSetting: {{minClusterSize: 1}}}}, {DETECTION}")
    # The only caller is in one of the region's two zones, of which each has half of the endpoints.
    assert await answering(mesh, frontend) == {"near": 20, "zone": 20}
    assert await answering(mesh, mesh.workloads["visitor"]) == {"region": 40}
    await fail(mesh, "near", "zone")
    await turn_to(mesh, frontend, {"region", "far"})


async def test_a_region_may_have_a_refuge(mesh, frontend):
    setting = "localityLbSetting: {failover: [{from: r1, to: r3}]}"
    await rule(mesh, f"loadBalancer: {{{setting}}}, {DETECTION}")
    assert set(await answering(mesh, frontend)) == {"near"}
    await fail(mesh, "near", "zone")
    await turn_to(mesh, frontend, {"far"})
    await fail(mesh, "far")
    await turn_to(mesh, frontend, {"region"})


async def test_labels_may_say_who_is_near(mesh, frontend):
    await rule(mesh, f"loadBalancer: {{localityLbSetting: {{failoverPriority: [tier, rack]}}}}, {DETECTION}")
    assert set(await answering(mesh, frontend)) == {"far"}
    await fail(mesh, "far")
    await turn_to(mesh, frontend, {"region"})
    await fail(mesh, "region")
    await turn_to(mesh, frontend, {"near", "zone"})


async def test_the_place_s_parts_and_values_may_stand_for_labels(mesh, frontend):
    labels = '["topology.kubernetes.io/region", "rack=zone"]'
    await rule(mesh, f"loadBalancer: {{localityLbSetting: {{failoverPriority: {labels}}}}}, {DETECTION}")
    assert set(await answering(mesh, frontend)) == {"zone"}
    assert set(await answering(mesh, mesh.workloads["visitor"])) == {"region"}


@pytest.mark.parametrize("where", ["rule", "mesh"])
async def test_places_may_have_shares(mesh, frontend, where):
    shares = '{distribute: [{from: "r1/z1/*", to: {"r1/z1/*": 70, "r2/*": 30}}]}'
    if where == "mesh":
        await mesh.apply(mesh_config(f"localityLbSetting: {shares}"))
    await rule(
        mesh, "loadBalancer: {simple: ROUND_ROBIN%s}" % (f", localityLbSetting: {shares}" if where == "rule" else "")
    )
    found = await answering(mesh, frontend, 200)
    assert set(found) == {"near", "region"}
    assert 40 <= found["region"] <= 80
    assert set(await answering(mesh, mesh.workloads["visitor"])) == set(PLACES)


async def test_nearness_can_be_switched_off_by_a_rule_and_for_the_mesh(mesh, frontend):
    await rule(mesh, f"loadBalancer: {{localityLbSetting: {{enabled: false}}}}, {DETECTION}")
    assert set(await answering(mesh, frontend)) == set(PLACES)
    await mesh.apply(mesh_config("localityLbSetting: {enabled: false}"))
    await rule(mesh, DETECTION)
    assert set(await answering(mesh, frontend)) == set(PLACES)


async def test_an_envoy_knows_its_place(mesh, frontend):
    node = json.loads((await mesh.admin(frontend, "/server_info")).text)["node"]
    assert node["locality"] == {"region": "r1", "zone": "z1", "sub_zone": "s1"}


WARMUPS = {
    "floor": "warmup: {{duration: {window_s}s, minimumPercent: 1}}",
    "eager": "warmup: {{duration: {window_s}s, aggression: 1.5}}",
    "old": "warmupDurationSecs: {window_s}s",
}


def shelves(window_s, ports, endpoints):
    """Services of applications without a sidecar, each with a warm-up of its own."""
    return "---".join(
        f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}}}
spec:
  hosts: [{name}.example.com]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  resolution: STATIC
  endpoints: [{", ".join(f"{{address: 127.0.0.1, ports: {{http: {ports[one]}}}}}" for one in endpoints)}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}}}
spec: {{host: {name}.example.com, trafficPolicy: {{loadBalancer: {{simple: ROUND_ROBIN, {warmup.format(window_s=window_s)}}}}}}}
"""
        for name, warmup in WARMUPS.items()
    )


async def test_a_new_instance_gets_its_share_little_by_little(mesh, frontend):
    ports = {name: await mesh.application(name) for name in ("one", "two", "new")}
    now = asyncio.get_running_loop().time
    for window_s in (3, 6, 12, 24):
        await mesh.apply(shelves(window_s, ports, ["one", "two"]))
        answers = await mesh.share(frontend, "floor.example.com/", count=10)
        assert answers.keys() == {"one", "two"}
        await asyncio.sleep(window_s)  # until they are no longer new themselves
        began = now()
        await mesh.apply(shelves(window_s, ports, ["one", "two", "new"]))
        first = {name: (await mesh.share(frontend, f"{name}.example.com/", count=60))["new"] for name in WARMUPS}
        if now() - began < window_s / 2:  # the machine was quick enough to see the beginning
            break
    assert all(answers < 15 for answers in first.values()), first

    async def warm():
        return all([(await mesh.share(frontend, f"{name}.example.com/", count=30))["new"] >= 9 for name in WARMUPS])

    await until(warm)
