"""What requests find that come for a port: a Host without one means that port."""

from test_translate import FRONTEND, NETWORKING, service, virtual_service, world

from mesh_runtime.api import Config, load
from mesh_runtime.api.admission import admit
from mesh_runtime.xds.translate.routing.routes import port_routes

PORTS = "[{name: http, port: 80}, {name: http-more, port: 85}]"


def hosts(number, *manifests):
    found = port_routes(world(service("b", PORTS), *manifests), FRONTEND, number)
    assert (found["name"], found["ignore_port_in_host_matching"]) == (str(number), True)
    return {domain: host["routes"] for host in found["virtual_hosts"] for domain in host["domains"]}


def test_a_redirect_keeps_the_port_that_was_asked_for_unless_it_is_the_scheme_s_own():
    manifest = virtual_service("[b]", "[{redirect: {derivePort: FROM_REQUEST_PORT}}]")
    assert hosts(85, manifest)["b"][0]["redirect"]["port_redirect"] == 85
    assert "port_redirect" not in hosts(80, manifest)["b"][0]["redirect"]


def test_hosts_of_no_service_are_found_at_80_and_beside_the_services_of_their_rules():
    alone = virtual_service("[a.example.com]", "[{directResponse: {status: 200}}]", name="alone")
    beside = virtual_service("[b, c.example.com]", "[{directResponse: {status: 200}}]", name="beside")
    assert {"a.example.com", "c.example.com"} <= hosts(80, alone, beside).keys()
    assert {"a.example.com", "c.example.com"} & hosts(85, alone, beside).keys() == {"c.example.com"}


def test_a_delegate_that_is_not_there_is_refused():
    root = virtual_service("[b]", "[{delegate: {name: leaf}}]")
    leaf = f"{NETWORKING}\nkind: VirtualService\nmetadata: {{name: leaf}}\nspec: {{http: [{{redirect: {{uri: /}}}}]}}"

    def problems(*manifests):
        objects = load("\n---\n".join((service("b", PORTS), *manifests)), default_namespace="shop")
        return [
            (problem.path, problem.message)
            for problem in admit(Config(revision=1, objects={item.key: item for item in objects}))
        ]

    assert problems(root) == [("spec.http[0].delegate", "there is no VirtualService shop/leaf without hosts")]
    assert problems(root, leaf) == []
