"""Certificates: whose they are, how long they hold, who signed them, and how a new root takes over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from console.views import format as fmt
from console.views import links
from mesh_runtime.control import CertificateInfo
from mesh_runtime.identity.authority import Stage
from mesh_runtime.identity.rotation import Rotation

SHOWN = 200
"""Rows at most; the search finds the others."""
NAMED = 12
"""Of the proxies that are waited for."""
SHORT = 16
STEPS = (
    ("Everybody trusts both roots", "The new root signs nothing yet; the old one still does."),
    ("Everybody gets a certificate of the new root", "Both are trusted, so old and new certificates work together."),
    ("Everybody trusts the new root alone", "Nothing that the old root has signed is accepted any more."),
)
POSITION: Mapping[Stage, int] = {Stage.BOTH_TRUSTED: 0, Stage.NEW_SIGNS: 1, Stage.ONE_ROOT: 2}
"""Which step a rotation that runs is at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One proxy's certificate."""

    instance: str
    identity: str
    serial: str
    from_ms: int
    until_ms: int
    left: str
    left_share: float
    """Of its life, 0-1."""
    tone: str
    root: str
    current: bool
    """Whether the root that signs now has signed it."""

    @property
    def href(self) -> str:
        """Its page, with its chain."""
        return links.certificate(self.instance)


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """One root that proxies trust."""

    fingerprint: str
    name: str
    role: str
    until_ms: int
    left: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a root's replacement."""

    title: str
    text: str
    state: str
    """``done``, ``now`` or ``to come``."""
    waiting: tuple[tuple[str, str], ...] = ()
    """Name and address of proxies that have not acknowledged it."""
    more: int = 0
    """How many others there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The certificates of the mesh."""

    now_ms: int
    rows: tuple[Row, ...]
    hidden: int
    total: int
    text: str
    roots: tuple[Root, ...]
    steps: tuple[Step, ...]
    """Empty: no root is being replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One certificate of a chain, nearest first."""

    title: str
    facts: tuple[tuple[str, str], ...]
    pem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """One proxy's certificate with its chain."""

    row: Row
    chain: tuple[Link, ...]


def page(
    certificates: Sequence[CertificateInfo], rotation: Rotation, bundle_pem: str, now_ms: int, *, text: str = ""
) -> Page:
    """Describe all certificates; *bundle_pem* holds the roots that proxies are told to trust."""
    words = text.lower().split()
    every = [row(one, rotation, now_ms) for one in certificates]
    kept = [
        one for one in every if all(word in f"{one.instance} {one.identity} {one.serial}".lower() for word in words)
    ]
    return Page(
        now_ms=now_ms,
        rows=tuple(kept[:SHOWN]),
        hidden=max(0, len(kept) - SHOWN),
        total=len(every),
        text=text,
        roots=_roots(bundle_pem, rotation, now_ms),
        steps=_steps(rotation),
    )


def row(one: CertificateInfo, rotation: Rotation, now_ms: int) -> Row:
    """Describe one certificate; it is renewed by itself at half of its life."""
    left_ms = one.not_after_ms - now_ms
    share = min(1.0, max(0.0, left_ms / max(1, one.not_after_ms - one.not_before_ms)))
    return Row(
        instance=one.instance_id,
        identity=one.identity,
        serial=one.serial,
        from_ms=one.not_before_ms,
        until_ms=one.not_after_ms,
        left=fmt.duration(left_ms / 1000) if left_ms > 0 else "expired",
        left_share=share,
        tone="ok" if share >= 0.45 else "warn" if share >= 0.2 else "error",
        root=one.root,
        current=one.root == rotation.root,
    )


def detail(one: CertificateInfo, rotation: Rotation, chain_pem: str, now_ms: int) -> Detail:
    """Describe one certificate with everything that is in its chain."""
    return Detail(row=row(one, rotation, now_ms), chain=chain(chain_pem))


def chain(pem: str) -> tuple[Link, ...]:
    """Read a chain; none where there is nothing."""
    found = x509.load_pem_x509_certificates(pem.encode()) if pem.strip() else []
    return tuple(_link(one, position) for position, one in enumerate(found))


def _link(one: x509.Certificate, position: int) -> Link:
    names = _names(one)
    return Link(
        title="Leaf" if not position else "Root" if one.issuer == one.subject else "Intermediate",
        facts=tuple(
            (name, value)
            for name, value in (
                ("Subject", one.subject.rfc4514_string()),
                ("Names", ", ".join(names)),
                ("Issuer", one.issuer.rfc4514_string()),
                ("Serial", f"{one.serial_number:x}"),
                ("Valid from", fmt.moment(_ms(one.not_valid_before_utc.timestamp()))),
                ("Valid until", fmt.moment(_ms(one.not_valid_after_utc.timestamp()))),
                ("Key", _key(one)),
                ("SHA-256", _fingerprint(one)),
            )
            if value
        ),
        pem=one.public_bytes(Encoding.PEM).decode(),
    )


def _names(one: x509.Certificate) -> list[str]:
    try:
        extension = one.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for name in extension.value]


def _key(one: x509.Certificate) -> str:
    match one.public_key():
        case ec.EllipticCurvePublicKey() as key:
            return f"EC {key.curve.name}"
        case rsa.RSAPublicKey() as key:
            return f"RSA {key.key_size}"
    return "other"


def _fingerprint(one: x509.Certificate) -> str:
    return one.fingerprint(hashes.SHA256()).hex()


def _ms(timestamp: float) -> int:
    return int(timestamp * 1000)


def _roots(bundle_pem: str, rotation: Rotation, now_ms: int) -> tuple[Root, ...]:
    found = x509.load_pem_x509_certificates(bundle_pem.encode()) if bundle_pem.strip() else []
    return tuple(_root(one, rotation, now_ms) for one in found)


def _root(one: x509.Certificate, rotation: Rotation, now_ms: int) -> Root:
    fingerprint, until_ms = _fingerprint(one), _ms(one.not_valid_after_utc.timestamp())
    waits = "trusted, does not sign yet" if rotation.stage is Stage.BOTH_TRUSTED else "trusted, signs no more"
    return Root(
        fingerprint=fingerprint,
        name=one.subject.rfc4514_string().removeprefix("CN="),
        role="trusted, signs" if fingerprint == rotation.root else waits,
        until_ms=until_ms,
        left=fmt.duration((until_ms - now_ms) / 1000),
    )


def _steps(rotation: Rotation) -> tuple[Step, ...]:
    if not rotation.running:
        return ()
    now = POSITION[rotation.stage]
    return tuple(
        Step(
            title=title,
            text=text,
            state="done" if number < now else "to come" if number > now else "now",
            waiting=tuple((one, links.proxy(one)) for one in rotation.waiting[:NAMED]) if number == now else (),
            more=max(0, len(rotation.waiting) - NAMED) if number == now else 0,
        )
        for number, (title, text) in enumerate(STEPS)
    )
