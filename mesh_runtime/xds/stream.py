"""The delta protocol of one proxy's stream, without any I/O: requests in, responses out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mesh_runtime.xds import protos
from mesh_runtime.xds.snapshot import KIND_OF_TYPE, Kind, Packed, Snapshot

WARMING_PATIENCE_MS = 1000
"""How long routes and listeners wait for clusters that a proxy has not made ready yet."""
MAX_OUTSTANDING = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeStatus:
    """One xDS type of one proxy. ``sent`` and ``acked`` are short hashes of all its resources."""

    sent: str
    acked: str
    rejected: str
    """Why the proxy refused something that it was last sent; ``""``: it did not."""
    at_ms: int
    """When the proxy last answered."""


@dataclass(slots=True, kw_only=True)
class _Sent:
    names: frozenset[str]
    state: str
    at_ms: int
    grows: bool


@dataclass(slots=True)
class _Subscription:
    """What a proxy wants of one type, what it was sent, and what it said to that."""

    wildcard: bool
    have: dict[str, str]
    names: set[str] = field(default_factory=set)
    unanswered: set[str] = field(default_factory=set)
    """Newly asked for: to be answered even when there is nothing to give."""
    greeted: bool = False
    outstanding: dict[str, _Sent] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    acked: str = ""
    answered_at_ms: int = 0

    def wants(self, offered: Mapping[str, Packed]) -> Mapping[str, Packed]:
        if self.wildcard:
            return offered
        return {name: offered[name] for name in self.names if name in offered}

    def state(self) -> str:
        content = "\n".join(f"{name} {version}" for name, version in sorted(self.have.items()))
        return hashlib.blake2b(content.encode(), digest_size=4).hexdigest()


class DeltaStream:
    """One proxy's conversation.

    Order of a push: clusters, endpoints, secrets, then (once the proxy has made new clusters ready)
    listeners and routes, and only then are clusters removed that nothing uses any more.
    """

    def __init__(self, node_id: str) -> None:
        self.node_id = node_id
        self.answered: Snapshot | None = None
        """The newest snapshot of which everything was sent and answered."""
        self.refused_names = 0
        """How many resources it asked for that are not its own."""
        self._subscriptions: dict[Kind, _Subscription] = {}
        self._nonce = 0

    @property
    def rejections(self) -> Mapping[Kind, str]:
        """What the proxy refuses at present, and why."""
        return {
            kind: next(iter(subscription.refused.values()))
            for kind, subscription in self._subscriptions.items()
            if subscription.refused
        }

    @property
    def types(self) -> Mapping[Kind, TypeStatus]:
        """The state of each subscribed type."""
        return {
            kind: TypeStatus(
                sent=subscription.state(),
                acked=subscription.acked,
                rejected=next(iter(subscription.refused.values()), ""),
                at_ms=subscription.answered_at_ms,
            )
            for kind, subscription in self._subscriptions.items()
        }

    def receive(self, request: Any, now_ms: int) -> None:
        """Take in one DeltaDiscoveryRequest. Answers to responses that are not outstanding are ignored."""
        kind = KIND_OF_TYPE.get(request.type_url)
        if kind is None:
            return
        subscription = self._subscriptions.get(kind)
        if subscription is None:
            subscription = self._subscribe_first(kind, request)
        elif request.resource_names_subscribe:
            self._subscribe(subscription, request.resource_names_subscribe)
        for name in request.resource_names_unsubscribe:
            subscription.names.discard(name)
            subscription.unanswered.discard(name)
            subscription.have.pop(name, None)
            subscription.refused.pop(name, None)
        if request.response_nonce:
            self._answered(subscription, request, now_ms)

    def due(self, snapshot: Snapshot, now_ms: int) -> list[bytes]:
        """Return the serialized responses to send now, in order; they count as sent."""
        responses: list[bytes] = []
        for kind in (Kind.CDS, Kind.EDS, Kind.SDS):
            responses += self._push(kind, snapshot, now_ms, remove=False)
        if self.patience_ms(now_ms) is None:
            for kind in (Kind.LDS, Kind.RDS):
                responses += self._push(kind, snapshot, now_ms, remove=kind is Kind.LDS)
            if not self._outstanding(Kind.LDS) and not self._outstanding(Kind.RDS):
                responses += self._push(Kind.CDS, snapshot, now_ms, remove=True)
            if not responses and not any(map(self._outstanding, Kind)):
                self.answered = snapshot
        return responses

    def patience_ms(self, now_ms: int) -> int | None:
        """How long listeners and routes still wait for the proxy to make new clusters ready; ``None``: not at all."""
        clusters = self._subscriptions.get(Kind.CDS)
        if clusters is None:
            return None
        growing = [sent.at_ms for sent in clusters.outstanding.values() if sent.grows]
        left = max(growing, default=0) + WARMING_PATIENCE_MS - now_ms
        return left if growing and left > 0 else None

    def _outstanding(self, kind: Kind) -> bool:
        return kind in self._subscriptions and bool(self._subscriptions[kind].outstanding)

    def _subscribe_first(self, kind: Kind, request: Any) -> _Subscription:
        names = set(request.resource_names_subscribe)
        subscription = self._subscriptions[kind] = _Subscription(
            wildcard="*" in names or (kind in {Kind.CDS, Kind.LDS} and not names),
            # A proxy that reconnects says what it has, so that it is sent only what is new. Endpoints always are:
            # it does not say which of its clusters still wait for them, and would let them wait for ever.
            have={} if kind is Kind.EDS else dict(request.initial_resource_versions),
        )
        subscription.names = names - {"*"}
        subscription.unanswered = subscription.names - set(request.initial_resource_versions)
        subscription.acked = subscription.state() if subscription.have else ""
        return subscription

    def _subscribe(self, subscription: _Subscription, names: Any) -> None:
        for name in names:
            if name == "*":
                subscription.wildcard = True
                continue
            subscription.names.add(name)
            subscription.unanswered.add(name)
            subscription.have.pop(name, None)

    def _answered(self, subscription: _Subscription, request: Any, now_ms: int) -> None:
        sent = subscription.outstanding.pop(request.response_nonce, None)
        if sent is None:
            return
        subscription.answered_at_ms = now_ms
        if request.HasField("error_detail"):
            reason = request.error_detail.message or f"code {request.error_detail.code}"
            subscription.refused.update(dict.fromkeys(sent.names or {""}, reason))
            return
        subscription.acked = sent.state
        for name in (*sent.names, ""):
            subscription.refused.pop(name, None)

    def _push(self, kind: Kind, snapshot: Snapshot, now_ms: int, *, remove: bool) -> Iterator[bytes]:
        subscription = self._subscriptions.get(kind)
        if subscription is None:
            return
        wanted = subscription.wants(snapshot.resources[kind])
        changed = {name: packed for name, packed in wanted.items() if subscription.have.get(name) != packed.version}
        gone = self._gone(kind, subscription, wanted, remove=remove)
        greeting = not subscription.greeted and subscription.wildcard
        if not changed and not gone and not greeting:
            return
        if kind is Kind.CDS:
            self._send_endpoints_again(changed)
        subscription.greeted = True
        subscription.unanswered.clear()
        for name, packed in changed.items():
            subscription.have[name] = packed.version
        for name in gone:
            subscription.have.pop(name, None)
            subscription.refused.pop(name, None)
        self._nonce += 1
        nonce = str(self._nonce)
        if len(subscription.outstanding) >= MAX_OUTSTANDING:
            subscription.outstanding.pop(next(iter(subscription.outstanding)))
        subscription.outstanding[nonce] = _Sent(
            names=frozenset(changed), state=subscription.state(), at_ms=now_ms, grows=bool(changed)
        )
        header = protos.message(
            protos.DELTA_RESPONSE,
            {
                "type_url": kind.type_url,
                "nonce": nonce,
                "system_version_info": str(snapshot.revision),
                "removed_resources": gone,
            },
        )
        yield header.SerializeToString() + b"".join(packed.wire for packed in changed.values())

    def _gone(
        self, kind: Kind, subscription: _Subscription, wanted: Mapping[str, Packed], *, remove: bool
    ) -> list[str]:
        """Name what the proxy must drop, or asked for in vain.

        Endpoints, routes and secrets end with the cluster or listener that uses them.
        """
        asked_in_vain = subscription.unanswered - wanted.keys()
        if kind is Kind.SDS:
            self.refused_names += len(asked_in_vain)
        if subscription.wildcard:
            return sorted(subscription.have.keys() - wanted.keys()) if remove else []
        return sorted(asked_in_vain)

    def _send_endpoints_again(self, clusters: Mapping[str, Packed]) -> None:
        # A changed cluster stays warming until its endpoints arrive anew, though they did not change.
        endpoints = self._subscriptions.get(Kind.EDS)
        if endpoints is not None:
            for name in clusters:
                endpoints.have.pop(name, None)
