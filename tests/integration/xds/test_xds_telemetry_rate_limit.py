"""Istio's local rate limit: an EnvoyFilter on the workload's own requests."""

import pytest
import pytest_asyncio
from xds_mesh import Mesh

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIMIT = """
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: filter-local-ratelimit-svc, namespace: shop}
spec:
  workloadSelector: {labels: {app: catalog}}
  configPatches:
  - applyTo: HTTP_FILTER
    match:
      context: SIDECAR_INBOUND
      listener:
        filterChain:
          filter: {name: envoy.filters.network.http_connection_manager}
    patch:
      operation: INSERT_BEFORE
      value:
        name: envoy.filters.http.local_ratelimit
        typed_config:
          "@type": type.googleapis.com/udpa.type.v1.TypedStruct
          type_url: type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
          value:
            stat_prefix: http_local_rate_limiter
            token_bucket: {max_tokens: 4, tokens_per_fill: 4, fill_interval: 600s}
            filter_enabled:
              runtime_key: local_rate_limit_enabled
              default_value: {numerator: 100, denominator: HUNDRED}
            filter_enforced:
              runtime_key: local_rate_limit_enforced
              default_value: {numerator: 100, denominator: HUNDRED}
            response_headers_to_add:
            - append_action: OVERWRITE_IF_EXISTS_OR_ADD
              header: {key: x-local-rate-limit, value: "true"}
"""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def mesh():
    async with Mesh() as mesh:
        await mesh.workload("frontend")
        await mesh.workload("catalog")
        yield mesh


async def test_requests_beyond_a_local_limit_are_refused_with_429_and_counted(mesh):
    frontend, catalog = mesh.workloads["frontend"], mesh.workloads["catalog"]
    await mesh.apply(LIMIT)
    answers = [await mesh.get(frontend, "catalog/") for _ in range(7)]
    assert [answer.status for answer in answers] == [200] * 4 + [429] * 3
    assert answers[-1].headers["x-local-rate-limit"] == "true"
    assert len(catalog.requests) == 4
    assert await mesh.metrics(catalog, "istio_requests_total", response_code="429", response_flags="RL") == 3
