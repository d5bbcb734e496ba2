"""The delta protocol of one proxy's stream, without any I/O: requests in, responses out."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mesh_runtime.xds import protos
from mesh_runtime.xds.refusals import in_short
from mesh_runtime.xds.snapshot import KIND_OF_TYPE, Kind, Offer, Packed, Snapshot

WARMING_PATIENCE_MS = 1000
"""How long routes and listeners wait for clusters that a proxy has not made ready yet."""
MAX_OUTSTANDING = 1000
_LATER = (Kind.LDS, Kind.RDS, Kind.VHDS)
"""What names clusters."""
_ALL_AT_ONCE = frozenset({Kind.CDS, Kind.LDS, Kind.VHDS})
"""Of which a proxy is given all there is. It asks for virtual hosts by their table: there is only one such."""


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
    gone: Sequence[str]
    grows: bool


@dataclass(slots=True)
class _Subscription:
    """What a proxy wants of one type, what it was sent, and what it said to that."""

    wildcard: bool
    names: set[str] = field(default_factory=set)
    unanswered: set[str] = field(default_factory=set)
    """Newly asked for: to be answered even when there is nothing to give."""
    greeted: bool = False
    outstanding: dict[str, _Sent] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    acked: str = ""
    answered_at_ms: int = 0
    have: dict[str, str] = field(default_factory=dict)
    mark: int = 0
    """Of all that it has, whatever the order in which it came."""
    offered: Offer | None = None
    compared: Offer | None = None
    """What it was last compared with; ``None``: with nothing yet."""
    suspects: dict[str, None] = field(default_factory=dict)
    """All that may differ from what was compared."""
    leaving: set[str] = field(default_factory=set)
    """What it has and should not; it may be kept for a while."""

    def keep(self, name: str, version: str) -> None:
        self.drop(name)
        self.have[name] = version
        self.mark ^= hash((name, version))

    def drop(self, name: str) -> None:
        version = self.have.pop(name, None)
        if version is not None:
            self.mark ^= hash((name, version))

    def send_again(self, name: str) -> None:
        self.drop(name)
        self.suspects[name] = None

    def was_not_taken(self, sent: _Sent, *, besides: Collection[str]) -> None:
        """Send the rest of a response again of which nothing was taken because of some."""
        for name in sent.names.difference(besides):
            self.send_again(name)
        for name in sent.gone:
            self.keep(name, "")
            self.leaving.add(name)

    def try_again(self, offer: Offer) -> None:
        """Send what was refused once more with the first other offer: what was in its way may be gone.

        What is offered no more is refused no more, though the proxy may ask for it yet.
        """
        if self.offered is not offer:
            self.offered = offer
            self.refused = {name: why for name, why in self.refused.items() if not name or name in offer}
            for name in self.refused.keys() - {""}:
                self.send_again(name)

    def start_again(self) -> None:
        """Take the proxy for one that has nothing yet, and wants all or nothing by the names it still asks for."""
        self.wildcard = bool(self.names)
        self.have.clear()
        self.mark = 0
        self.compared = None
        self.leaving.clear()

    def state(self) -> str:
        return f"{self.mark & 0xFFFFFFFF:08x}"

    def is_at(self, offer: Offer) -> bool:
        """Whether nothing can be due but removals."""
        return self.compared is offer and self.greeted and not self.suspects and not self.unanswered

    def compare(self, offer: Offer) -> dict[str, Packed]:
        """Return what is to be sent. Only what may have changed since the last time is looked at."""
        if self.compared is None:
            self.suspects = dict.fromkeys((*self.have, *offer))
        elif self.compared is not offer:
            self.suspects.update(dict.fromkeys(offer.changed_since(self.compared)))
        self.compared = offer
        wanted = self.suspects if self.wildcard else self.suspects.keys() & self.names
        found = offer.for_all(wanted)
        offered = {name: found.get(name) for name in wanted}
        if self.wildcard:
            self.leaving.update(name for name, packed in offered.items() if packed is None)
        self.suspects.clear()
        return {
            name: packed
            for name, packed in offered.items()
            if packed is not None and self.have.get(name) != packed.version
        }

    def gone(self, offer: Offer) -> list[str]:
        self.leaving = {name for name in self.leaving if name in self.have and name not in offer}
        return sorted(self.leaving)


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
            subscription.send_again(name)
            subscription.refused.pop(name, None)
        if kind is Kind.VHDS and subscription.compared and _asks(request):
            subscription.start_again()
        if request.response_nonce:
            self._answered(kind, subscription, request, now_ms)

    def due(self, snapshot: Snapshot, now_ms: int) -> list[bytes]:
        """Return the serialized responses to send now, in order; they count as sent."""
        responses: list[bytes] = []
        for kind in (Kind.CDS, Kind.EDS, Kind.SDS):
            responses += self._push(kind, snapshot, now_ms, remove=False)
        if self.patience_ms(now_ms) is None:
            for kind in _LATER:
                responses += self._push(kind, snapshot, now_ms, remove=kind is not Kind.RDS)
            if not any(map(self._outstanding, _LATER)):
                responses += self._push(Kind.CDS, snapshot, now_ms, remove=True)
            if not responses and not any(one.outstanding for one in self._subscriptions.values()):
                self.answered = snapshot
        return responses

    def carry(self, old: Snapshot, new: Snapshot) -> bool:
        """Take a snapshot with the same resources for answered if the old one was. Return whether it was."""
        if self.answered is not old or old.resources is not new.resources:
            return False
        self.answered = new
        return True

    def patience_ms(self, now_ms: int) -> int | None:
        """How long listeners and routes still wait for the proxy to make new clusters ready; ``None``: not at all."""
        clusters = self._subscriptions.get(Kind.CDS)
        if clusters is None or not clusters.outstanding:
            return None
        growing = [sent.at_ms for sent in clusters.outstanding.values() if sent.grows]
        left = max(growing, default=0) + WARMING_PATIENCE_MS - now_ms
        return left if growing and left > 0 else None

    def _outstanding(self, kind: Kind) -> bool:
        return kind in self._subscriptions and bool(self._subscriptions[kind].outstanding)

    def _subscribe_first(self, kind: Kind, request: Any) -> _Subscription:
        names = set(map(sys.intern, request.resource_names_subscribe))
        subscription = self._subscriptions[kind] = _Subscription(
            wildcard="*" in names or (kind in _ALL_AT_ONCE and (kind is Kind.VHDS or not names))
        )
        # A proxy that reconnects says what it has, so that it is sent only what is new. Endpoints always are:
        # it does not say which of its clusters still wait for them, and would let them wait for ever.
        has = {} if kind is Kind.EDS else request.initial_resource_versions
        for name, version in has.items():
            subscription.keep(name, version)
        subscription.names = names - {"*"}
        subscription.unanswered = subscription.names - set(request.initial_resource_versions)
        subscription.acked = subscription.state() if subscription.have else ""
        return subscription

    def _subscribe(self, subscription: _Subscription, names: Any) -> None:
        for name in map(sys.intern, names):
            if name == "*":
                subscription.wildcard = True
                subscription.compared = None
                continue
            subscription.names.add(name)
            subscription.unanswered.add(name)
            subscription.send_again(name)

    def _answered(self, kind: Kind, subscription: _Subscription, request: Any, now_ms: int) -> None:
        sent = subscription.outstanding.pop(request.response_nonce, None)
        if sent is None:
            return
        subscription.answered_at_ms = now_ms
        if request.HasField("error_detail"):
            reason = request.error_detail.message or f"code {request.error_detail.code}"
            # Envoy takes the others of the same response, and names those that it does not take; but of virtual hosts
            # it takes all or none.
            named = sorted(name for name in sent.names if name in reason)
            subscription.refused.update(dict.fromkeys(named or sent.names or {""}, in_short(reason, named)))
            if kind is Kind.VHDS and sent.names:
                subscription.was_not_taken(sent, besides=named or sent.names)
            return
        subscription.acked = sent.state
        for name in (*sent.names, ""):
            subscription.refused.pop(name, None)

    def _push(self, kind: Kind, snapshot: Snapshot, now_ms: int, *, remove: bool) -> Sequence[bytes]:
        subscription = self._subscriptions.get(kind)
        if subscription is None:
            return ()
        offer = snapshot.resources[kind]
        if subscription.is_at(offer) and not (remove and subscription.leaving):
            return ()
        subscription.try_again(offer)
        changed = subscription.compare(offer)
        gone = self._gone(kind, subscription, offer, remove=remove)
        greeting = not subscription.greeted and subscription.wildcard
        if not changed and not gone and not greeting:
            return ()
        if kind is Kind.CDS:
            self._send_endpoints_again(changed)
        subscription.greeted = True
        subscription.unanswered.clear()
        for name, packed in changed.items():
            subscription.keep(name, packed.version)
        for name in gone:
            subscription.drop(name)
            subscription.refused.pop(name, None)
        self._nonce += 1
        nonce = str(self._nonce)
        if len(subscription.outstanding) >= MAX_OUTSTANDING:
            subscription.outstanding.pop(next(iter(subscription.outstanding)))
        subscription.outstanding[nonce] = _Sent(
            names=frozenset(changed), gone=gone, state=subscription.state(), at_ms=now_ms, grows=bool(changed)
        )
        header = protos.message_class(protos.DELTA_RESPONSE)(
            type_url=kind.type_url,
            nonce=nonce,
            system_version_info=str(snapshot.revision),
            removed_resources=gone,
        )
        return [header.SerializeToString() + b"".join(packed.wire for packed in changed.values())]

    def _gone(self, kind: Kind, subscription: _Subscription, offer: Offer, *, remove: bool) -> list[str]:
        """Name what the proxy must drop, or asked for in vain.

        Endpoints, routes and secrets end with the cluster or listener that uses them.
        """
        found = offer.for_all(subscription.unanswered)
        in_vain = [name for name in subscription.unanswered if name not in found]
        if kind is Kind.SDS:
            self.refused_names += len(in_vain)
        if subscription.wildcard:
            return subscription.gone(offer) if remove else []
        return sorted(in_vain)

    def _send_endpoints_again(self, clusters: Mapping[str, Packed]) -> None:
        # A changed cluster stays warming until its endpoints arrive anew, though they did not change.
        endpoints = self._subscriptions.get(Kind.EDS)
        if endpoints is not None:
            for name in clusters:
                endpoints.send_again(name)


def _asks(request: Any) -> bool:
    return bool(request.resource_names_subscribe or request.resource_names_unsubscribe)
