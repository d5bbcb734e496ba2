"""How a server secures its connections."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from mesh_runtime.api.spec import Flaw, Many, Spec, repeated, text

TlsMode = Literal["PASSTHROUGH", "SIMPLE", "MUTUAL", "AUTO_PASSTHROUGH", "ISTIO_MUTUAL", "OPTIONAL_MUTUAL"]
TlsVersion = Literal["TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3"]

PASSED_ON: Final = frozenset({"PASSTHROUGH", "AUTO_PASSTHROUGH"})
OF_CLIENTS: Final = frozenset({"MUTUAL", "OPTIONAL_MUTUAL"})
"""Modes that look at a client's certificate by authorities of the user's own."""
_VERSIONS: Final = ("TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3")

CIPHER_SUITES: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES256-SHA",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-SHA",
    "AES256-SHA",
    "DES-CBC3-SHA",
)
_HASH = re.compile(r"(?:[0-9a-fA-F]{2}:?){31}[0-9a-fA-F]{2}")


def known_cipher_suites(written: tuple[str, ...]) -> tuple[str, ...]:
    """Return the suites that are meant, each once, in order; names that there are not mean nothing, as with Istio.

    Of OpenSSL's language ``ALL``, ``[A|B]``, ``+A`` (put it last), ``-A`` and ``!A`` (leave it out) are understood.
    """
    chosen: list[str] = []
    banned: set[str] = set()
    for word in written:
        sign, names = _named(word)
        if sign in {"-", "!", "+"}:
            moved = [name for name in chosen if name in names]
            chosen = [name for name in chosen if name not in names] + (moved if sign == "+" else [])
            banned |= set(names) if sign == "!" else set()
        else:
            chosen += [name for name in names if name not in chosen]
    return tuple(name for name in chosen if name not in banned)


def _named(word: str) -> tuple[str, tuple[str, ...]]:
    """Split a word of the list into its sign and the suites that it names."""
    sign, name = (word[0], word[1:]) if word[:1] in {"-", "!", "+"} else ("", word)
    if name == "ALL":
        return sign, CIPHER_SUITES
    return sign, tuple(one for one in name.strip("[]").split("|") if one in CIPHER_SUITES)


def _spki(value: str) -> str | None:
    try:
        length = len(base64.b64decode(value, validate=True))
    except (binascii.Error, ValueError):
        length = 0
    return None if length == 32 else "is not a SHA-256 hash in Base64"


def _hash(value: str) -> str | None:
    return None if _HASH.fullmatch(value) and len(value) in {64, 95} else "is not a SHA-256 hash in hexadecimal"


def _path(value: str) -> str | None:
    # "~" stands between two paths in the name of what is made of them, as with Istio.
    return "is not an absolute path without ~" if value and (not value.startswith("/") or "~" in value) else None


def _credential(value: str) -> str | None:
    plain = value.partition("://")[2] or value
    return None if re.fullmatch(r"[a-z0-9][-a-z0-9.]*(/[a-z0-9][-a-z0-9.]*)?", plain) else "is not the name of a Secret"


EcdhCurves = Many[Literal["P-256", "P-384", "P-521", "X25519", "X25519MLKEM768", "MLKEM1024"]]
"""Those that Envoy (1.40) has; any other would have it reject the listener."""
File = Annotated[str, Field(max_length=4096), AfterValidator(text(_path, "write it like /etc/certs/tls.pem"))]
"""A path that the proxy's process can read."""
Credential = Annotated[str, AfterValidator(text(_credential, "write name, or namespace/name"))]


class TLSCertificate(Spec):
    """A certificate in files."""

    server_certificate: File
    private_key: File
    ca_certificates: File = ""


class ServerTLS(Spec):
    """Whether and how connections are decrypted, and whom they are taken from."""

    https_redirect: bool = False
    mode: TlsMode = "PASSTHROUGH"
    credential_name: Credential = ""
    credential_names: Annotated[Many[Credential], Field(max_length=2)] = ()
    ca_cert_credential_name: Credential = ""
    """Where the authorities of clients are, if not beside the certificate."""
    server_certificate: File = ""
    private_key: File = ""
    ca_certificates: File = ""
    ca_crl: File = ""
    tls_certificates: Annotated[Many[TLSCertificate], Field(max_length=2)] = ()
    subject_alt_names: Many[Annotated[str, Field(min_length=1, max_length=2048)]] = ()
    verify_certificate_spki: Many[Annotated[str, AfterValidator(text(_spki))]] = ()
    verify_certificate_hash: Many[Annotated[str, AfterValidator(text(_hash))]] = ()
    min_protocol_version: TlsVersion = "TLS_AUTO"
    max_protocol_version: TlsVersion = "TLS_AUTO"
    cipher_suites: Many[str] = ()
    """Names that are not of a suite mean nothing; :func:`known_cipher_suites` leaves them out."""
    ecdh_curves: EcdhCurves = ()
    insecure_skip_verify: bool = False
    """Take also clients whose certificate no authority vouches for."""

    @property
    def terminates(self) -> bool:
        """Whether connections are decrypted here."""
        return self.mode not in PASSED_ON

    @property
    def credentials(self) -> tuple[str, ...]:
        """The names of the Secrets with certificates and keys."""
        return self.credential_names or ((self.credential_name,) if self.credential_name else ())

    @property
    def files(self) -> tuple[TLSCertificate, ...]:
        """The certificates that are in files."""
        if self.server_certificate and self.private_key:
            own = {"serverCertificate": self.server_certificate, "privateKey": self.private_key}
            return (TLSCertificate.model_validate(own),)
        return self.tls_certificates

    def flaws(self) -> Iterator[Flaw]:
        """One source of certificates, complete for the mode; versions that leave one."""
        for index, name in repeated(self.credential_names):
            yield Flaw(("credentialNames", index), f"{name} is there twice", "remove one")
        low, high = self.min_protocol_version, self.max_protocol_version
        if "TLS_AUTO" not in {low, high} and _VERSIONS.index(low) > _VERSIONS.index(high):
            yield Flaw(("minProtocolVersion",), f"{low} is above maxProtocolVersion {high}", "exchange them")
        if self.mode == "ISTIO_MUTUAL":
            yield from self._of_the_mesh()
        elif self.terminates:
            yield from self._sources()
            yield from self._of_clients()

    def _of_the_mesh(self) -> Iterator[Flaw]:
        sources = ("server_certificate", "private_key", "ca_certificates", "tls_certificates", "credential_name")
        for name in self.has(*sources, "credential_names"):
            if getattr(self, name):
                alias = type(self).model_fields[name].alias or name
                yield Flaw((alias,), "does not go with ISTIO_MUTUAL, whose certificates are the mesh's", "remove it")

    def _sources(self) -> Iterator[Flaw]:
        by_file = bool(self.server_certificate or self.private_key)
        given = [self.credential_name, self.credential_names, self.tls_certificates, by_file]
        if sum(map(bool, given)) > 1:
            message = "has more than one source of certificates"
            yield Flaw((), message, "keep one of credentialName, credentialNames, tlsCertificates or serverCertificate")
        elif not any(given):
            yield Flaw(("credentialName",), f"is needed for mode {self.mode}", "add the name of a Secret")
        elif by_file and not (self.server_certificate and self.private_key):
            missing = "privateKey" if self.server_certificate else "serverCertificate"
            yield Flaw((missing,), "is needed beside the other", "add the path of the file")

    def _of_clients(self) -> Iterator[Flaw]:
        named = self.credentials or self.ca_cert_credential_name
        if self.mode in OF_CLIENTS and not (named or self.ca_certificates):
            yield Flaw(("caCertificates",), f"is needed for mode {self.mode}", "add the path of the file")
        if self.ca_crl and self.credentials:
            yield Flaw(("caCrl",), "does not go with credentialName", "put it into the Secret, as ca.crl")
        elif self.ca_crl and self.mode == "SIMPLE":
            yield Flaw(("caCrl",), "means nothing in mode SIMPLE", "remove it, or use MUTUAL")
