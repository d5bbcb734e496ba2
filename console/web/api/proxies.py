"""What each Envoy has, acknowledged or rejected."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from console.context import Console
from console.views.given import Kind
from console.web.answers import proxies as answers
from console.web.api.common import Here, rfc3339, router
from console.web.errors import Json, NotFound
from mesh_runtime.control import ProxyStatus

api = router("proxies")


class Rotate(BaseModel):
    """Which certificates are to be new."""

    model_config = ConfigDict(extra="forbid", strict=True)

    root: bool = False
    """The root and all leaves, not only the leaves."""


@api.get("/proxies", response_model=answers.Proxies)
async def proxies(here: Here) -> Response:
    """List every proxy with the state of each resource type."""
    return Json({"revision": here.store.current.revision, "items": [_status(p) for p in here.control.status()]})


@api.get("/proxies/{node:path}/{what}", response_model=answers.ProxyConfig)
async def proxy_config(here: Here, node: Annotated[str, Path(max_length=500)], what: Kind) -> Response:
    """Return what was sent to a proxy, as Envoy's JSON; keys are left out of secrets."""
    found = find(here, node)
    return Json({"node": found.node_id, "resources": here.control.resources(found.node_id, what)})


@api.get("/certificates", response_model=answers.Certificates)
async def certificates(here: Here) -> Response:
    """List the workload certificates in use, and how far the rotation of the root is."""
    items = [_public(c) for c in here.control.certificates()]
    return Json({"items": items, "rotation": _public(here.control.rotation)})


@api.post("/certificates/rotate", response_model=answers.Certificates)
async def rotate(here: Here, wanted: Rotate) -> Response:
    """Give every proxy a new certificate now; with ``root`` begin to replace the root, which goes on by itself."""
    if wanted.root:
        here.control.start_root_rotation()
    else:
        here.control.rotate()
    return await certificates(here)


def find(here: Console, name: str) -> ProxyStatus:
    """Find a proxy by node id, instance id, ``workload.namespace``, or a beginning of one that fits only one."""
    known = here.control.status()
    for fits in (
        [p for p in known if name in (p.node_id, p.instance_id)],
        [p for p in known if name in (f"{p.workload}.{p.namespace}", f"{p.namespace}/{p.workload}")],
        [p for p in known if p.workload == name or p.instance_id.startswith(name)],
    ):
        if fits:
            return fits[0]
    raise NotFound(f"there is no proxy {name!r}; there are {', '.join(sorted(p.instance_id for p in known)) or 'none'}")


def _status(proxy: ProxyStatus) -> dict[str, Any]:
    return {
        "node": proxy.node_id,
        "instance": proxy.instance_id,
        "namespace": proxy.namespace,
        "workload": proxy.workload,
        "role": proxy.role,
        "connected": proxy.connected,
        "revisionAcked": proxy.revision_acked,
        "inSync": proxy.in_sync,
        "problem": proxy.problem,
        "notes": list(proxy.notes),
        "types": {
            name: {"sent": t.sent, "acked": t.acked, "rejected": t.rejected, "at": rfc3339(t.at_ms)}
            for name, t in proxy.types.items()
        },
    }


def _public(certificate: object) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name in getattr(certificate, "__dataclass_fields__", ()):
        value = getattr(certificate, name)
        fields[name.removesuffix("_ms")] = rfc3339(value) if name.endswith("_ms") else value
    return fields
