"""The config of an Envoy without a mesh, as somebody writes it by hand."""

from mesh_runtime.xds.protos import any_of

MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = {"name": "router", "typed_config": any_of("envoy.extensions.filters.http.router.v3.Router")}


def address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def cluster(name, port, **more):
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address(port)}}]}]
    return {"name": name, "type": "STATIC", "load_assignment": {"cluster_name": name, "endpoints": endpoints}, **more}


def listener(port, *routes, **manager):
    """Routes for every host, and what else the connection manager shall do."""
    everything = {"name": "all", "domains": ["*"], "routes": routes}
    http = any_of(
        MANAGER, stat_prefix="all", route_config={"virtual_hosts": [everything]}, http_filters=[ROUTER], **manager
    )
    filters = [{"name": "http", "typed_config": http}]
    return {"name": "in", "address": address(port), "filter_chains": [{"filters": filters}]}


def to(cluster_name):
    return {"match": {"prefix": "/"}, "route": {"cluster": cluster_name}}
