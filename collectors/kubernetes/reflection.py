"""One kind of a cluster's objects, held as the API server has them: listed, then watched."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from collectors.errors import CollectorError
from collectors.kubernetes.api import ApiError, Change, JsonObject, KubernetesApi
from collectors.kubernetes.kinds import NOT_FOUND, Resource
from graph.ports import Clock

PAGE = 250
"""Objects per page of a list: a page of pods is a few megabytes."""
FORBIDDEN, GONE = 403, 410

ObjectName = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pauses:
    """How long to wait before asking again: twice as long each time, and none as long as another's."""

    first_s: float = 0.5
    most_s: float = 30.0

    def __iter__(self) -> Iterator[float]:
        """Begin with the first."""
        pause_s = self.first_s
        while True:
            yield pause_s * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
            pause_s = min(2 * pause_s, self.most_s)


class Reflection:
    """All objects of a kind, in one namespace or all.

    While the API server is away, the objects are as they last were. What is gone meanwhile is known after
    it is back: the watch goes on where it ended, or, where the server has forgotten that (410), all are listed anew and
    replaced at once.
    """

    def __init__(
        self,
        api: KubernetesApi,
        resource: Resource,
        clock: Clock,
        changed: Callable[[], None],
        *,
        namespace: str = "",
        pauses: Pauses,
    ) -> None:
        self.resource = resource
        self.objects: dict[ObjectName, object] = {}
        self.answered = False
        """Whether it is known what there is, or why not."""
        self.forbidden = False
        self.error = ""
        """Why it is not followed now, and the way out."""
        self.lists = 0
        """How often all were listed."""
        self._api = api
        self._path = resource.path(namespace)
        self._clock = clock
        self._changed = changed
        self._look_again = pauses
        self._pauses = iter(pauses)
        self._ended = False
        self._version = ""
        """Where the watch goes on; empty: all must be listed."""

    async def run(self) -> None:
        """Follow until the kind is not served any more; then there are no objects."""
        while not self._ended:
            try:
                await self._follow()
            except CollectorError as trouble:
                self._take(trouble)
                self._changed()
            await self._clock.sleep(self._api.config.look_again_s if self.forbidden else next(self._pauses))

    async def _follow(self) -> None:
        if not self._version:
            self.objects, self._version = await self._list()
            self.lists += 1
            self._works()
        async with self._api.watch(self._path, self._version) as changes:
            self._works()
            async for change in changes:
                self._apply(change)
        self._pauses = iter(self._look_again)

    async def _list(self) -> tuple[dict[ObjectName, object], str]:
        """Read all, page by page; at once where the server forgets the list before its end."""
        try:
            return await self._pages(PAGE)
        except ApiError as refusal:
            if refusal.status != GONE:
                raise
            return await self._pages(0)

    async def _pages(self, size: int) -> tuple[dict[ObjectName, object], str]:
        found: dict[ObjectName, object] = {}
        more = ""
        while True:
            page = await self._api.send("GET", self._path, {"limit": str(size), "continue": more})
            found |= {_name(one): self._kept(one) for one in page.get("items") or ()}
            more = page["metadata"].get("continue", "")
            if not more:
                return found, page["metadata"]["resourceVersion"]

    def _apply(self, change: Change) -> None:
        self._pauses = iter(self._look_again)
        self._version = change.object["metadata"]["resourceVersion"]
        if change.type == "BOOKMARK":
            return
        name = _name(change.object)
        before = self.objects.pop(name, None)
        if change.type != "DELETED":
            self.objects[name] = self._kept(change.object)
        if before != self.objects.get(name):
            self._changed()

    def _kept(self, item: JsonObject) -> object:
        return self.resource.keep(self.resource.api_version, self.resource.kind, item)

    def _works(self) -> None:
        self.answered, self.forbidden, self.error = True, False, ""
        self._changed()

    def _take(self, trouble: CollectorError) -> None:
        """Draw the conclusions: what may not be read any more, or is not there, is not shown either."""
        status = trouble.status if isinstance(trouble, ApiError) else 0
        self.answered = True
        self.forbidden = status == FORBIDDEN
        self.error = "" if status == GONE else str(trouble)
        self._ended = status == NOT_FOUND
        if self.forbidden or self._ended:
            self.objects = {}
        if not (isinstance(trouble, ApiError) and trouble.passes):
            self._version = ""


def _name(item: JsonObject) -> ObjectName:
    metadata = item["metadata"]
    return metadata.get("namespace", ""), metadata["name"]
