"""The mesh's certificate authority: one root on disk, short-lived leaves in memory only."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mesh_runtime.api.objects import TRUST_DOMAIN

LEAF_TTL_S = 3600
ROOT_TTL_S = 10 * 365 * 24 * 3600
CLOCK_SKEW_S = 60


class AuthorityError(Exception):
    """The root cannot be used; the message says why."""


def spiffe_id(namespace: str, service_account: str) -> str:
    """Return the identity of a workload."""
    return f"spiffe://{TRUST_DOMAIN}/ns/{namespace}/sa/{service_account}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A certificate with its key. ``repr`` shows no key; nothing here is ever written to disk by us."""

    identity: str
    chain_pem: str
    key_pem: str
    serial: str
    not_before_ms: int
    not_after_ms: int

    def __repr__(self) -> str:
        return f"Leaf({self.identity}, serial {self.serial}, until {self.not_after_ms})"

    @property
    def half_life_ms(self) -> int:
        """The instant when it is time for the next one."""
        return (self.not_before_ms + self.not_after_ms) // 2


class Authority:
    """Signs leaves with a root that lives in *directory* (0700; the key 0600) and is made on first use."""

    def __init__(self, directory: Path, clock_ms: Callable[[], int], *, leaf_ttl_s: int = LEAF_TTL_S) -> None:
        self._clock_ms = clock_ms
        self._leaf_ttl_s = leaf_ttl_s
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._key, self._root = _load(directory) or self._create(directory)

    @property
    def root_pem(self) -> str:
        """The trust bundle."""
        return self._root.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def root_not_after_ms(self) -> int:
        """When the root ends."""
        return _ms(self._root.not_valid_after_utc)

    def issue(self, spiffe: str) -> Leaf:
        """Sign a new key for a workload, good for client and server sides."""
        return self._issue(spiffe, [x509.UniformResourceIdentifier(spiffe)])

    def issue_server(self, hosts: Sequence[str]) -> Leaf:
        """Sign a new key for the control plane's own TLS address."""
        return self._issue(hosts[0], [_general_name(host) for host in hosts])

    def _issue(self, identity: str, names: Sequence[x509.GeneralName]) -> Leaf:
        key = ec.generate_private_key(ec.SECP256R1())
        now = _instant(self._clock_ms())
        ends = min(now + dt.timedelta(seconds=self._leaf_ttl_s), self._root.not_valid_after_utc)
        usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self._root.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(seconds=CLOCK_SKEW_S))
            .not_valid_after(ends)
            # Critical, since the subject is empty: RFC 5280 4.2.1.6
            .add_extension(x509.SubjectAlternativeName(names), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(sign=True, sign_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return Leaf(
            identity=identity,
            chain_pem=certificate.public_bytes(serialization.Encoding.PEM).decode() + self.root_pem,
            key_pem=_key_pem(key).decode(),
            serial=f"{certificate.serial_number:x}",
            not_before_ms=_ms(now),
            not_after_ms=_ms(ends),
        )

    def _create(self, directory: Path) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        key = ec.generate_private_key(ec.SECP256R1())
        now = _instant(self._clock_ms())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"meshscope root of {TRUST_DOMAIN}")])
        root = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(seconds=CLOCK_SKEW_S))
            .not_valid_after(now + dt.timedelta(seconds=ROOT_TTL_S))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(sign=False, sign_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        # One file, written at once: a root without its key, or the reverse, cannot be left behind.
        _write_private(directory / "root.pem", _key_pem(key) + root.public_bytes(serialization.Encoding.PEM))
        return key, root


def _load(directory: Path) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate] | None:
    path = directory / "root.pem"
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        key = serialization.load_pem_private_key(content, password=None)
        root = x509.load_pem_x509_certificate(content)
    except ValueError as error:
        raise AuthorityError(
            f"{path} is not a key and a certificate: {error}; move it away to get a new root"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != root.public_key():
        raise AuthorityError(f"{path}: the key is not the certificate's; move it away to get a new root")
    path.chmod(0o600)
    return key, root


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
