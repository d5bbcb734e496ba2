"""Standard Webhooks 1.0: symmetric signatures. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping

PREFIX = "whsec_"


class SecretError(ValueError):
    """Not a secret of the standard; says what one looks like."""


def new_secret() -> str:
    """Make a secret of 32 random bytes."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def key_of(secret: str) -> bytes:
    """Decode ``whsec_<base64>`` of 24 to 64 bytes."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error as trouble:
        raise SecretError("a webhook secret is whsec_ and then base64") from trouble
    if not secret.startswith(PREFIX) or not 24 <= len(key) <= 64:
        raise SecretError("a webhook secret is whsec_ and then base64 of 24 to 64 bytes")
    return key


def sign(id: str, timestamp_s: int, body: bytes, secrets: Iterable[str]) -> Mapping[str, str]:  # noqa: A002
    """Return the headers of one attempt; with several secrets (rotation) one signature each."""
    signatures = " ".join(_signature(id, timestamp_s, body, secret) for secret in secrets)
    return {"webhook-id": id, "webhook-timestamp": str(timestamp_s), "webhook-signature": signatures}


def _signature(id: str, timestamp_s: int, body: bytes, secret: str) -> str:  # noqa: A002
    content = f"{id}.{timestamp_s}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key_of(secret), content, hashlib.sha256)).decode()
