"""Certificates, keys and lists of what was revoked, judged as strictly as Envoy would."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

MIN_RSA_BITS: Final = 2048
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)


class Names(NamedTuple):
    """The keys of a Secret's data that belong together."""

    certificate: str
    key: str
    authority: str
    revoked: str


GENERIC: Final = Names("cert", "key", "cacert", "crl")
KUBERNETES_TLS: Final = Names("tls.crt", "tls.key", "ca.crt", "ca.crl")
FORMS: Final = (GENERIC, KUBERNETES_TLS)
"""In the order in which Istio looks for them."""


def decoded(value: str) -> bytes | None:
    """Decode Base64, which may be broken into lines; ``None``: it is none."""
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        return None


def served_names(data: Mapping[str, str]) -> Names | None:
    """Return the keys under which a Secret has a certificate and its private key; ``None``: it has none."""
    return next((names for names in FORMS if data.get(names.certificate) and data.get(names.key)), None)


def trusted_names(data: Mapping[str, str]) -> Names | None:
    """Return the keys under which a Secret has the certificates of authorities; ``None``: it has none."""
    return next((names for names in FORMS if data.get(names.authority)), None)


def certificates_complaint(pem: bytes) -> str | None:
    """Complain about what is not one or more certificates in PEM."""
    return _complaint(lambda: x509.load_pem_x509_certificates(pem), "is not a certificate in PEM form")


def revoked_complaint(pem: bytes) -> str | None:
    """Complain about what is not a list of revoked certificates in PEM."""
    return _complaint(lambda: x509.load_pem_x509_crl(pem), "is not a list of revoked certificates in PEM form")


def key_complaint(pem: bytes) -> str | None:
    """Complain about what is not a private key that Envoy can serve with."""
    complaint = _complaint(lambda: load_pem_private_key(pem, None), "is not an unencrypted private key in PEM form")
    if complaint:
        return complaint
    key = load_pem_private_key(pem, None)
    if isinstance(key, rsa.RSAPrivateKey):
        return f"is an RSA key of {key.key_size} bits" if key.key_size < MIN_RSA_BITS else None
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, _CURVES):
        return None
    return "is neither an RSA key nor one of the curves P-256, P-384 and P-521"


def pair_complaint(certificate: bytes, key: bytes) -> str | None:
    """Complain where a key is not that of a chain's first certificate; both must be sound."""
    owner = x509.load_pem_x509_certificates(certificate)[0].public_key()
    own = load_pem_private_key(key, None).public_key()
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    return None if owner.public_bytes(*form) == own.public_bytes(*form) else "is not the key of the certificate"


def _complaint(load: Callable[[], object], message: str) -> str | None:
    try:
        load()
    except Exception:  # noqa: BLE001 - malformed DER makes the library raise what it will
        return message
    return None
