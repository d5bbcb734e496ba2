"""A cluster, followed: what it serves, what it holds of that, and what may not be seen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from collectors.errors import CollectorError
from collectors.kubernetes.api import KubernetesApi
from collectors.kubernetes.config import ClusterConfig
from collectors.kubernetes.kinds import Resource, served
from collectors.kubernetes.objects import ClusterObjects, Controller, Declared, Pod, Slice
from collectors.kubernetes.permissions import reader_role, refused_user
from collectors.kubernetes.reflection import Pauses, Reflection
from graph.ports import Clock

T = TypeVar("T")

NEWS_S = 0.5
"""Changes are shown together: a rollout is hundreds of them."""
REST = 4
"""After showing a large cluster so many times as long as that took is left to others."""

Show = Callable[[ClusterObjects], Awaitable[None]]
"""Told all that is known, whenever that has changed."""


class _Place(NamedTuple):
    """What one reflection holds, in whichever version it is read."""

    group: str
    plural: str
    namespace: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterState:
    """How a cluster does, for the page that shows signals."""

    server: str
    error: str
    """Why it, or a part of it, is not followed now."""
    since_ms: int
    """When that began; 0: all of it is followed."""
    forbidden: tuple[Resource, ...]
    """What we may not read."""
    role: str
    """RBAC objects that would allow to read all that is here, to apply; empty: we are allowed to."""
    absent: tuple[str, ...]
    """Groups of config that are not installed."""
    kinds: int
    lists: int
    """How often a kind was listed: more than there are kinds when the server forgot where a watch ended."""


class ClusterWatch:
    """A service: follows one cluster, and says when there is news.

    It is ready at once: a cluster that is away, or slow, does not hold up whoever starts us.
    """

    def __init__(
        self,
        config: ClusterConfig,
        clock: Clock,
        show: Show,
        *,
        pauses: Pauses = Pauses(),  # noqa: B008 - immutable
    ) -> None:
        self.config = config
        self.name = f"cluster {config.title}"
        self._api = KubernetesApi(config)
        self._clock = clock
        self._show = show
        self._pauses = pauses
        self._reflections: dict[_Place, Reflection] = {}
        self._news = asyncio.Event()
        self._settled = asyncio.Event()
        self._error = ""
        self._looked = False
        self._since_ms = 0
        self._groups: frozenset[str] = frozenset()

    @property
    def objects(self) -> ClusterObjects:
        """All that is known now."""
        return ClusterObjects(
            pods=self._all(Pod),
            controllers=self._all(Controller),
            declared=self._all(Declared),
            slices=self._all(Slice),
        )

    @property
    def state(self) -> ClusterState:
        """How it is doing."""
        refused = [one for one in self._reflections.values() if one.forbidden]
        return ClusterState(
            server=self._api.server,
            error=self._trouble,
            since_ms=self._since_ms,
            forbidden=tuple(dict.fromkeys(one.resource for one in refused)),
            role=self._role(refused[0].error) if refused else "",
            absent=tuple(group for group in self.config.config_groups if group not in self._groups),
            kinds=len(self._reflections),
            lists=sum(one.lists for one in self._reflections.values()),
        )

    async def run(self, ready: Callable[[], None]) -> None:
        """Follow until cancelled."""
        ready()
        self._looked = False
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._tell())
                await self._look(group)
        finally:
            self._reflections.clear()
            await self._api.close()

    async def settled(self) -> None:
        """Wait until it is known what there is, or that this cannot be known now."""
        await self._settled.wait()

    async def _look(self, group: asyncio.TaskGroup) -> None:
        """Look for kinds again and again: they are installed, and uninstalled, at any time."""
        pauses = iter(self._pauses)
        while True:
            try:
                self._begin(group, await served(self._api, self.config.config_groups))
            except CollectorError as trouble:
                self._error = str(trouble)
                self._news.set()
                await self._clock.sleep(next(pauses))
                continue
            pauses = iter(self._pauses)
            await self._clock.sleep(self.config.look_again_s)

    def _begin(self, group: asyncio.TaskGroup, resources: Collection[Resource]) -> None:
        self._error, self._looked = "", True
        self._groups = frozenset(resource.group for resource in resources)
        for resource in resources:
            for namespace in self._namespaces(resource):
                place = _Place(resource.group, resource.plural, namespace)
                if place not in self._reflections:
                    self._reflections[place] = self._reflection(resource, namespace)
                    group.create_task(self._reflect(place))
        self._news.set()

    def _namespaces(self, resource: Resource) -> Sequence[str]:
        """Where a kind is read. Who may read some namespaces only, may not read what is in none."""
        if self.config.namespaces:
            return self.config.namespaces if resource.namespaced else ()
        return ("",)

    def _reflection(self, resource: Resource, namespace: str) -> Reflection:
        return Reflection(self._api, resource, self._clock, self._news.set, namespace=namespace, pauses=self._pauses)

    async def _reflect(self, place: _Place) -> None:
        """Follow a kind until it is uninstalled."""
        await self._reflections[place].run()
        del self._reflections[place]
        self._news.set()

    async def _tell(self) -> None:
        """Say what there is, not before every kind was asked for."""
        while True:
            await self._news.wait()
            self._news.clear()
            self._since_ms = (self._since_ms or self._clock.now_ms()) if self._trouble else 0
            began_ms = self._clock.steady_ms()
            answered = self._looked and all(one.answered for one in self._reflections.values())
            if answered:
                await self._show(self.objects)
            if answered or self._error:
                self._settled.set()
            await self._clock.sleep(max(NEWS_S, REST * (self._clock.steady_ms() - began_ms) / 1000))

    def _role(self, refusal: str) -> str:
        resources = {one.resource for one in self._reflections.values()}
        return reader_role(resources, refused_user(refusal), self.config.namespaces)

    @property
    def _trouble(self) -> str:
        errors = (one.error for one in self._reflections.values() if one.error and not one.forbidden)
        return self._error or next(errors, "")

    def _all(self, kind: type[T]) -> Sequence[T]:
        everything = (one for reflection in self._reflections.values() for one in reflection.objects.values())
        return [one for one in everything if isinstance(one, kind)]
