"""Which keys of a JWKS can verify a signature: Envoy refuses a set without any."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

_CURVES: Final[Mapping[str, tuple[str, ec.EllipticCurve]]] = {
    "P-256": ("ES256", ec.SECP256R1()),
    "P-384": ("ES384", ec.SECP384R1()),
    "P-521": ("ES512", ec.SECP521R1()),
}


def is_usable(key: Mapping[str, Any]) -> bool:
    """Tell whether a key of a JWKS is complete and of a kind that Envoy knows."""
    check = _CHECKS.get(str(key.get("kty")))
    if check is None or not all(isinstance(key.get(name, ""), str) for name in ("kid", "alg")):
        return False
    try:
        return check(key, key.get("alg", ""))
    except (KeyError, TypeError, ValueError, binascii.Error):
        return False


def _decoded(key: Mapping[str, Any], name: str) -> bytes:
    text = key[name]
    if not isinstance(text, str) or not text or set(text) & set("+/="):
        raise ValueError(name)
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars="-_", validate=True)


def _number(key: Mapping[str, Any], name: str) -> int:
    return int.from_bytes(_decoded(key, name), "big")


def _rsa(key: Mapping[str, Any], algorithm: str) -> bool:
    rsa.RSAPublicNumbers(_number(key, "e"), _number(key, "n")).public_key()
    return algorithm[:2] in ("", "RS", "PS")


def _elliptic(key: Mapping[str, Any], algorithm: str) -> bool:
    name, curve = _CURVES[key["crv"]]
    ec.EllipticCurvePublicNumbers(_number(key, "x"), _number(key, "y"), curve).public_key()
    return algorithm in ("", name)


def _edwards(key: Mapping[str, Any], algorithm: str) -> bool:
    ed25519.Ed25519PublicKey.from_public_bytes(_decoded(key, "x"))
    return key["crv"] == "Ed25519" and algorithm in ("", "EdDSA")


def _shared(key: Mapping[str, Any], algorithm: str) -> bool:
    return bool(_decoded(key, "k")) and algorithm[:2] in ("", "HS")


_CHECKS: Final[Mapping[str, Callable[[Mapping[str, Any], str], bool]]] = {
    "RSA": _rsa,
    "EC": _elliptic,
    "OKP": _edwards,
    "oct": _shared,
}
