"""What the config does to a service, in a line per object."""

from __future__ import annotations

from console.views.applied import applied
from mesh_runtime.api import load
from mesh_runtime.api.objects import Config

YAML = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: catalog, namespace: shop}
spec:
  hosts: [catalog]
  http:
  - timeout: 2s
    route:
    - {destination: {host: catalog, subset: v1}, weight: 90}
    - destination: {host: catalog, subset: v2}
      weight: 10
      headers:
        request: {set: {x-shop-fault: failing}}
        response: {remove: [x-secret]}
"""


def test_a_route_names_weights_limits_and_the_headers_that_it_touches():
    objects = {one.key: one for one in load(YAML)}
    (found,) = applied(Config(revision=1, objects=objects), "shop", "catalog")
    assert found.text == "v1 90 % / v2 10 %, timeout, sets x-shop-fault for v2, removes x-secret for v2"
