"""The mesh's certificate authority: its root on disk (two while one takes over), short-lived leaves in memory only."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mesh_runtime.api.objects import TRUST_DOMAIN

LEAF_TTL_S = 3600
ROOT_TTL_S = 10 * 365 * 24 * 3600
CLOCK_SKEW_S = 60
ROOT_BACKDATED_S: Final = 24 * 3600
"""A clock that is set back after a root was made must not leave the mesh without one that is valid already."""
ROOT_RENEWED_BEFORE_S: Final = 30 * 24 * 3600
"""So long before its end a root is due to be replaced."""
_MAX_NAME: Final = 64
"""RFC 5280's limit."""
_MAX_ROOTS: Final = 2
_WAY_OUT: Final = "move it away to get a new root"
_BLOCK = re.compile(rb"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----\s*", re.DOTALL)


class AuthorityError(Exception):
    """The root cannot be used; the message says why."""


def spiffe_id(namespace: str, service_account: str, trust_domain: str = TRUST_DOMAIN) -> str:
    """Return the identity of a workload."""
    return f"spiffe://{trust_domain}/ns/{namespace}/sa/{service_account}"


class Stage(StrEnum):
    """How far a new root has taken over. It is what is on disk, so that it survives whatever happens."""

    ONE_ROOT = "one root"
    BOTH_TRUSTED = "both trusted"
    """The old one still signs."""
    NEW_SIGNS = "new signs"
    """The old one is only trusted; its key is gone."""


class _Root(NamedTuple):
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey | None

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A certificate with its key. ``repr`` shows no key; nothing here is ever written to disk by us."""

    identity: str
    chain_pem: str
    key_pem: str
    serial: str
    root: str
    """The fingerprint of the root that signed it."""
    not_before_ms: int
    not_after_ms: int

    def __repr__(self) -> str:
        return f"Leaf({self.identity}, serial {self.serial}, until {self.not_after_ms})"

    @property
    def half_life_ms(self) -> int:
        """The instant when it is time for the next one."""
        return (self.not_before_ms + self.not_after_ms) // 2

    def is_due(self, now_ms: int) -> bool:
        """Whether half its life is over, or the clock was set back to before it is valid."""
        return not self.not_before_ms - 1000 * CLOCK_SKEW_S <= now_ms < self.half_life_ms


class Authority:
    """Signs leaves with a root that lives in *directory* (0700; the file 0600) and is made on first use.

    A new root takes over in three steps, each of them one atomic write: :meth:`prepare`, :meth:`switch`,
    :meth:`retire`. Between them everybody must be given the bundle, or leaves, of the present stage.
    """

    def __init__(self, directory: Path, clock_ms: Callable[[], int], *, leaf_ttl_s: int = LEAF_TTL_S) -> None:
        self._clock_ms = clock_ms
        self._leaf_ttl_s = leaf_ttl_s
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = directory / "root.pem"
        self._roots = _load(self._path)
        if not self._roots:
            self._become(self._new_root())

    @property
    def stage(self) -> Stage:
        """How far a new root has taken over."""
        if len(self._roots) == 1:
            return Stage.ONE_ROOT
        return Stage.NEW_SIGNS if self._roots[1].key is None else Stage.BOTH_TRUSTED

    @property
    def root_pem(self) -> str:
        """The root that signs."""
        return self._roots[0].pem.decode()

    @property
    def bundle_pem(self) -> str:
        """Every root that is trusted; the one that signs comes first."""
        return b"".join(root.pem for root in self._roots).decode()

    @property
    def fingerprint(self) -> str:
        """The SHA-256 fingerprint of the root that signs."""
        return self._roots[0].certificate.fingerprint(hashes.SHA256()).hex()

    @property
    def root_not_after_ms(self) -> int:
        """When the root that signs ends."""
        return _ms(self._roots[0].certificate.not_valid_after_utc)

    @property
    def root_is_due(self) -> bool:
        """Whether the root that signs is so near its end that it should be replaced."""
        return self.root_not_after_ms - self._clock_ms() < ROOT_RENEWED_BEFORE_S * 1000

    def prepare(self) -> None:
        """Make a new root that is trusted and does not sign yet; nothing happens where there is one."""
        if self.stage is Stage.ONE_ROOT:
            self._become(*self._roots, self._new_root())

    def switch(self) -> None:
        """Sign with the new root from now on, and forget the old one's key."""
        if self.stage is Stage.BOTH_TRUSTED:
            old, new = self._roots
            self._become(new, old._replace(key=None))

    def retire(self) -> None:
        """Trust the old root no more."""
        if self.stage is Stage.NEW_SIGNS:
            self._become(self._roots[0])

    def issue(self, spiffe: str) -> Leaf:
        """Sign a new key for a workload, good for client and server sides."""
        return self._issue(spiffe, [x509.UniformResourceIdentifier(spiffe)])

    def issue_server(self, hosts: Sequence[str]) -> Leaf:
        """Sign a new key for the control plane's own TLS address."""
        return self._issue(hosts[0], [_general_name(host) for host in hosts])

    def _issue(self, identity: str, names: Sequence[x509.GeneralName]) -> Leaf:
        root, signing_key = self._roots[0]
        assert signing_key is not None
        key = ec.generate_private_key(ec.SECP256R1())
        now = _instant(self._clock_ms())
        ends = min(now + dt.timedelta(seconds=self._leaf_ttl_s), root.not_valid_after_utc)
        usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(root.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(seconds=CLOCK_SKEW_S))
            .not_valid_after(ends)
            # Critical, since the subject is empty: RFC 5280 4.2.1.6
            .add_extension(x509.SubjectAlternativeName(names), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(sign=True, sign_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()), critical=False)
            .sign(signing_key, hashes.SHA256())
        )
        return Leaf(
            identity=identity,
            chain_pem=certificate.public_bytes(serialization.Encoding.PEM).decode() + self.root_pem,
            key_pem=_key_pem(key).decode(),
            serial=f"{certificate.serial_number:x}",
            root=self.fingerprint,
            not_before_ms=_ms(now),
            not_after_ms=_ms(ends),
        )

    def _new_root(self) -> _Root:
        key = ec.generate_private_key(ec.SECP256R1())
        now = _instant(self._clock_ms())
        serial = x509.random_serial_number()
        # Two roots that take turns must have different names, else the wrong one may be tried.
        called = f"meshscope root of {TRUST_DOMAIN} {serial:x}"[:_MAX_NAME]
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, called)])
        root = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(serial)
            .not_valid_before(now - dt.timedelta(seconds=ROOT_BACKDATED_S))
            .not_valid_after(now + dt.timedelta(seconds=ROOT_TTL_S))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(sign=False, sign_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return _Root(root, key)

    def _become(self, *roots: _Root) -> None:
        # One file, written at once: a root without its key, or half a step, cannot be left behind.
        content = b"".join((_key_pem(root.key) if root.key else b"") + root.pem for root in roots)
        _write_private(self._path, content)
        self._roots = roots


def _load(path: Path) -> tuple[_Root, ...]:
    """Read the roots, the one that signs first; none where there is no file."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return ()
    try:
        roots = tuple(_roots(content))
    except ValueError as error:
        raise AuthorityError(f"{path} does not hold keys and certificates: {error}; {_WAY_OUT}") from error
    if not 1 <= len(roots) <= _MAX_ROOTS or roots[0].key is None:
        raise AuthorityError(f"{path} is not a key and its certificate; {_WAY_OUT}")
    path.chmod(0o600)
    return roots


def _roots(content: bytes) -> Iterator[_Root]:
    key: ec.EllipticCurvePrivateKey | None = None
    for block in _BLOCK.finditer(content):
        if block[1] != b"CERTIFICATE":
            loaded = serialization.load_pem_private_key(block[0], password=None)
            if not isinstance(loaded, ec.EllipticCurvePrivateKey):
                raise ValueError("a key is not of an elliptic curve")
            key = loaded
            continue
        certificate = x509.load_pem_x509_certificate(block[0])
        if key is not None and key.public_key() != certificate.public_key():
            raise ValueError("a key is not its certificate's")
        yield _Root(certificate, key)
        key = None


def _write_private(path: Path, content: bytes) -> None:
    unfinished = path.with_suffix(".tmp")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _key_usage(*, sign: bool, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _instant(at_ms: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(at_ms // 1000, dt.UTC)


def _ms(at: dt.datetime) -> int:
    return int(at.timestamp() * 1000)
