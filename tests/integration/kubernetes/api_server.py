"""An API server that stands in for a real Kubernetes cluster, which does not run here.

It speaks what clients of the real one rely on (https://kubernetes.io/docs/reference/using-api/api-concepts/): lists in
pages, watches with bookmarks, 410 for a version that it has forgotten (as the answer, or within the stream), server-side
apply, 409 for an object that was changed since. There is nothing behind it: no scheduler makes pods of a Deployment.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aiohttp import web

Manifest = dict[str, Any]
TOKEN = "a-token-that-nobody-may-read-in-a-log"
VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]
BOOKMARK_S = 0.2
AT = "2026-11-21T12:00:00Z"


class Kind(NamedTuple):
    """A kind that is installed."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True


KUBERNETES = (
    Kind("", "v1", "namespaces", "Namespace", namespaced=False),
    Kind("", "v1", "pods", "Pod"),
    Kind("", "v1", "services", "Service"),
    Kind("", "v1", "secrets", "Secret"),
    Kind("apps", "v1", "deployments", "Deployment"),
    Kind("apps", "v1", "statefulsets", "StatefulSet"),
    Kind("apps", "v1", "daemonsets", "DaemonSet"),
    Kind("batch", "v1", "jobs", "Job"),
    Kind("batch", "v1", "cronjobs", "CronJob"),
    Kind("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice"),
)
VIRTUAL_SERVICES = Kind("networking.istio.io", "v1", "virtualservices", "VirtualService")
HTTP_ROUTES = Kind("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute")
ISTIO = (
    VIRTUAL_SERVICES,
    VIRTUAL_SERVICES._replace(version="v1beta1"),
    Kind("networking.istio.io", "v1", "destinationrules", "DestinationRule"),
    Kind("networking.istio.io", "v1alpha3", "envoyfilters", "EnvoyFilter"),
    Kind("security.istio.io", "v1", "peerauthentications", "PeerAuthentication"),
)


class Event(NamedTuple):
    """One change."""

    version: int
    kind: Kind
    type: str
    item: Manifest


@dataclass
class ApiServer:
    """The server's state, and what a test may do to it."""

    token: str = TOKEN
    """Empty: clients prove by certificates who they are."""
    kinds: list[Kind] = field(default_factory=lambda: [*KUBERNETES, *ISTIO])
    forbidden: set[str] = field(default_factory=set)
    """Plurals that the client may not read."""
    forgets_with_status: bool = False
    """Whether a forgotten version is answered 410, instead of an ERROR in the stream."""
    port: int = 0
    tls: ssl.SSLContext | None = None
    lists: list[Mapping[str, str]] = field(default_factory=list)
    """What was asked for in all lists."""
    _items: dict[tuple[str, str, str, str], Manifest] = field(default_factory=dict)
    """By group, plural, namespace and name."""
    _log: list[Event] = field(default_factory=list)
    _version: int = 1000
    _forgotten: int = 0
    _happened: asyncio.Event = field(default_factory=asyncio.Event)
    _runner: web.AppRunner | None = None
    _watches: set[asyncio.Task[Any]] = field(default_factory=set)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen: at first on a free port, later on the same one."""
        app = web.Application(middlewares=[self._guarded])
        app.router.add_get("/apis", self._groups)
        app.router.add_get("/api/{version}", self._resources)
        app.router.add_get("/apis/{group}/{version}", self._resources)
        for root in ("/api/{version}", "/apis/{group}/{version}"):
            for path in (root + "/{plural}", root + "/namespaces/{namespace}/{plural}"):
                app.router.add_get(path, self._list)
                app.router.add_patch(path + "/{name}", self._apply)
                app.router.add_delete(path + "/{name}", self._delete)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self.tls).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Go away: connections end."""
        self.end_watches()
        if self._runner:
            await self._runner.cleanup()

    def end_watches(self) -> None:
        """Cut them off, as an API server does that restarts."""
        for task in self._watches:
            task.cancel()

    def put(self, item: Manifest) -> Manifest:
        """Write an object as the API would."""
        kind = self._kind_of(item)
        namespace = item["metadata"].get("namespace", "") if kind.namespaced else ""
        key = (kind.group, kind.plural, namespace, item["metadata"]["name"])
        type_ = "MODIFIED" if key in self._items else "ADDED"
        written = deepcopy(item)
        written["metadata"]["resourceVersion"] = str(self._version + 1)
        written["metadata"].setdefault("managedFields", [{"manager": "kubectl", "operation": "Apply", "time": AT}])
        self._items[key] = written
        self._happen(kind, type_, written)
        return written

    def remove(self, plural: str, namespace: str, name: str) -> None:
        """Delete an object as the API would."""
        kind = next(one for one in self.kinds if one.plural == plural)
        gone = deepcopy(self._items.pop((kind.group, plural, namespace, name)))
        gone["metadata"]["resourceVersion"] = str(self._version + 1)
        self._happen(kind, "DELETED", gone)

    def forget(self) -> None:
        """Let no watch go on from before now: what etcd's compaction does."""
        self._log.clear()
        self._forgotten = self._version = self._version + 1

    def uninstall(self, plural: str) -> None:
        """Take a kind away with all its objects, and end its watches."""
        self.kinds = [kind for kind in self.kinds if kind.plural != plural]
        self._items = {key: item for key, item in self._items.items() if key[1] != plural}
        self.end_watches()

    def _happen(self, kind: Kind, type_: str, item: Manifest) -> None:
        self._version += 1
        self._log.append(Event(self._version, kind, type_, item))
        self._happened.set()
        self._happened = asyncio.Event()

    def _kind_of(self, item: Manifest) -> Kind:
        group, _, version = item["apiVersion"].rpartition("/")
        return next(
            kind for kind in self.kinds if (kind.group, kind.version, kind.kind) == (group, version, item["kind"])
        )

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Any) -> web.StreamResponse:
        plural = request.match_info.get("plural", "")
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if self.token and (scheme.lower(), token) != ("bearer", self.token):
            return _status(401, "Unauthorized")
        if plural in self.forbidden:
            return _status(403, f'{plural} is forbidden: User "reader" cannot list resource "{plural}"')
        if plural and self._asked(request) is None:
            return _status(404, "the server could not find the requested resource")
        answer: web.StreamResponse = await handler(request)
        return answer

    def _asked(self, request: web.Request) -> Kind | None:
        wanted = tuple(request.match_info.get(name, "") for name in ("group", "version", "plural"))
        return next((kind for kind in self.kinds if kind[:3] == wanted), None)

    async def _groups(self, _request: web.Request) -> web.Response:
        names = dict.fromkeys(kind.group for kind in self.kinds if kind.group)
        groups = []
        for name in names:
            versions = dict.fromkeys(kind.version for kind in self.kinds if kind.group == name)
            listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
            groups.append({"name": name, "versions": listed, "preferredVersion": listed[0]})
        return web.json_response({"kind": "APIGroupList", "groups": groups})

    async def _resources(self, request: web.Request) -> web.Response:
        wanted = (request.match_info.get("group", ""), request.match_info["version"])
        listed: list[Manifest] = []
        for kind in self.kinds:
            if kind[:2] == wanted:
                one = {"name": kind.plural, "kind": kind.kind, "namespaced": kind.namespaced, "verbs": VERBS}
                listed += [one, {**one, "name": f"{kind.plural}/status", "verbs": ["get", "patch", "update"]}]
        return web.json_response({"kind": "APIResourceList", "resources": listed}) if listed else _status(404, "none")

    async def _list(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("watch") == "true":
            return await self._watch(request)
        kind = self._asked(request)
        assert kind is not None
        self.lists.append({"plural": kind.plural, **request.query})
        version, begin = self._version, 0
        if token := request.query.get("continue"):
            version, begin = json.loads(base64.b64decode(token))
            if version < self._forgotten:
                return _status(410, "The provided continue parameter is too old")
        namespace = request.match_info.get("namespace", "")
        items = [
            self._items[key]
            for key in sorted(self._items)
            if key[:2] == (kind.group, kind.plural) and (not namespace or key[2] == namespace)
        ]
        end = begin + (int(request.query.get("limit", "0")) or len(items))
        metadata = {"resourceVersion": str(version)}
        if end < len(items):
            metadata["continue"] = base64.b64encode(json.dumps([version, end]).encode()).decode()
        page = items[begin:end]
        return web.json_response({"kind": f"{kind.kind}List", "metadata": metadata, "items": page})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        kind, seen = self._asked(request), int(request.query["resourceVersion"])
        assert kind is not None
        if seen < self._forgotten and self.forgets_with_status:
            return _status(410, "too old resource version")
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        async with self._open():
            with suppress(ConnectionResetError):  # the client has left
                await self._tell(response, kind, seen, request.match_info.get("namespace", ""))
        return response

    async def _tell(self, response: web.StreamResponse, kind: Kind, seen: int, namespace: str) -> None:
        while True:
            if seen < self._forgotten:
                await _send(response, "ERROR", _failure(410, "too old resource version"))
                return
            for event in [one for one in self._log if one.version > seen]:
                if event.kind.plural == kind.plural and _within(event.item, namespace):
                    await _send(response, event.type, event.item)
            seen = max(seen, self._version)
            happened = self._happened
            with suppress(TimeoutError):
                async with asyncio.timeout(BOOKMARK_S):
                    await happened.wait()
                    continue
            await _send(response, "BOOKMARK", {"kind": kind.kind, "metadata": {"resourceVersion": str(seen)}})

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[None]:
        task = asyncio.current_task()
        assert task is not None
        self._watches.add(task)
        try:
            yield
        finally:
            self._watches.discard(task)

    async def _apply(self, request: web.Request) -> web.Response:
        """Server-side apply: fields of another manager are a conflict, unless it is forced."""
        kind = self._asked(request)
        assert kind is not None
        if request.content_type != "application/apply-patch+yaml":
            return _status(415, "this server knows server-side apply only")
        wanted: Manifest = await request.json()
        name, namespace = request.match_info["name"], request.match_info.get("namespace", "")
        there = self._items.get((kind.group, kind.plural, namespace, name))
        manager = request.query["fieldManager"]
        if there and (conflict := _conflict(there, wanted, manager, force=request.query.get("force") == "true")):
            return _status(409, conflict)
        metadata = {**wanted["metadata"], "namespace": namespace} if kind.namespaced else wanted["metadata"]
        metadata["managedFields"] = [{"manager": manager, "operation": "Apply", "time": AT}]
        written = {**wanted, "metadata": metadata}
        if request.query.get("dryRun") == "All":
            return web.json_response(written)
        return web.json_response(self.put(written), status=200 if there else 201)

    async def _delete(self, request: web.Request) -> web.Response:
        name, namespace = request.match_info["name"], request.match_info.get("namespace", "")
        try:
            self.remove(request.match_info["plural"], namespace, name)
        except KeyError:
            return _status(404, f'"{name}" not found')
        return web.json_response({"kind": "Status", "status": "Success"})


def _conflict(there: Manifest, wanted: Manifest, manager: str, *, force: bool) -> str:
    seen = wanted["metadata"].get("resourceVersion")
    if seen and seen != there["metadata"]["resourceVersion"]:
        return "the object has been modified; please apply your changes to the latest version and try again"
    owner = there["metadata"]["managedFields"][0]["manager"]
    if owner != manager and not force and there.get("spec") != wanted.get("spec"):
        return f'Apply failed with 1 conflict: conflict with "{owner}": .spec'
    return ""


def _within(item: Manifest, namespace: str) -> bool:
    return not namespace or item["metadata"].get("namespace") == namespace


def _failure(code: int, message: str) -> Manifest:
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}


def _status(code: int, message: str) -> web.Response:
    return web.json_response(_failure(code, message), status=code)


async def _send(response: web.StreamResponse, type_: str, item: Manifest) -> None:
    await response.write(json.dumps({"type": type_, "object": item}).encode() + b"\n")
