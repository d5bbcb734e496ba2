"""Whatever config says means something, or is refused by its name: no field is taken and then forgotten."""

import ast
import importlib
import pkgutil
from pathlib import Path

import mesh_runtime
import mesh_runtime.api
from mesh_runtime.api.spec import ISTIO, Spec

SAYS_NOTHING = {
    ("ExtensionProvider", "prometheus"),  # that it is there says all, and is asked by its name
    ("MeshConfig", "root_namespace"),  # there is one, and any other is refused
    ("MeshConfig", "trust_domain"),  # the same
    ("OutlierDetection", "consecutive_errors"),  # Istio's own proxies have not looked at it since 1.7
    ("Patch", "filter_class"),  # nor does Istio's control plane read it
    ("Secret", "string_data"),  # becomes data as it is read
}
LEFT_OUT = {
    ("GroupTemplate", "address"),  # each workload has its own
    ("ListenerPort", "targetPort"),  # has no effect in Istio either
    ("ProxyHeaders", "metadataExchangeHeaders"),  # proxies send each other none
    ("ProxyConfig", "image"),  # there are no images here
    ("Server", "defaultEndpoint"),  # Istio has never implemented it
}


def specs(kind=Spec):
    for module in pkgutil.walk_packages(mesh_runtime.api.__path__, "mesh_runtime.api."):
        importlib.import_module(module.name)
    for one in kind.__subclasses__():
        yield one
        yield from specs(one)


def read_somewhere():
    """The names of all attributes that the runtime reads."""
    (root,) = mesh_runtime.__path__
    nodes = (node for path in Path(root).rglob("*.py") for node in ast.walk(ast.parse(path.read_text())))
    return {node.attr for node in nodes if isinstance(node, ast.Attribute)}


def test_every_field_that_is_taken_is_read():
    read = read_somewhere()
    taken = {(spec.__name__, name) for spec in specs() for name in spec.model_fields if name in spec.__annotations__}
    assert {(spec, name) for spec, name in taken if name not in read} == SAYS_NOTHING


def test_hardly_anything_of_istio_s_kinds_is_left_out_without_a_word():
    of_kinds = [spec for spec in specs() if spec.owner == ISTIO and not spec.__module__.endswith(".mesh_config")]
    left_out = {(spec.__name__, name) for spec in of_kinds for name in spec.ignored}
    assert {(spec, name) for spec, name in left_out if spec not in {"Namespace", "Secret"}} == LEFT_OUT
