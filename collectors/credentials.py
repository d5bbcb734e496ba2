"""How we make ourselves known to an HTTP server, and how we know it: what all sources that are asked over HTTP share."""

from __future__ import annotations

import base64
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator

from collectors.errors import CollectorError

SHORTEST_SECRET = 6
"""Shorter values are not searched for in texts: they would be found in every word."""


UserPath = Annotated[str, AfterValidator(lambda path: str(Path(path).expanduser()) if path else "")]
"""A file that the settings name; ``~`` is the user's home."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Settings of a source; files are read again at each request, so that they may be rotated."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    username: str = ""
    """For basic authentication."""
    password: str = ""
    """For basic authentication; better in ``password_file`` or in the environment."""
    password_file: UserPath = ""
    """A file with the password."""
    bearer_token: str = ""
    """Sent as ``Authorization: Bearer``; better in ``bearer_token_file`` or in the environment."""
    bearer_token_file: UserPath = ""
    """A file with the token."""
    headers: dict[str, str] = field(default_factory=dict)
    """Further headers of each request: ``{ X-Scope-OrgID = "tenant" }``."""
    ca_file: UserPath = ""
    """Authorities that may have signed its certificate, instead of the system's."""
    cert_file: UserPath = ""
    """Our own certificate, where it asks for one."""
    key_file: UserPath = ""
    """The key of our certificate, where it is not in the same file."""
    server_name: str = ""
    """The name that its certificate must carry, where that is not the address's host."""
    insecure_skip_verify: bool = False
    """Take any certificate. Whoever is between can read and change everything."""

    def without_secrets(self, text: str) -> str:
        """Blank out of a text what must never be shown."""
        for one in (self.password, self.bearer_token, *self.headers.values(), *self._rotated()):
            if len(one) >= SHORTEST_SECRET:
                text = text.replace(one, "***")
        return text

    def check_credentials(self, who: str) -> None:
        """Refuse what cannot work together; ``who`` begins the sentence."""
        if sum([bool(self.username), bool(self.bearer_token), bool(self.bearer_token_file)]) > 1:
            raise CollectorError(f"{who}: give one of username, bearer_token and bearer_token_file, not several")
        if self.password and self.password_file:
            raise CollectorError(f"{who}: give password or password_file, not both")
        if self.key_file and not self.cert_file:
            raise CollectorError(f"{who}: key_file needs cert_file")

    def request_headers(self, who: str) -> dict[str, str]:
        """Make the headers of a request."""
        headers = dict(self.headers)
        if self.username:
            pair = f"{self.username}:{self.password or secret(self.password_file, f'{who}: password_file')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        elif token := self.bearer_token or secret(self.bearer_token_file, f"{who}: bearer_token_file"):
            headers["Authorization"] = f"Bearer {token}"
        return headers

    def tls(self, who: str) -> ssl.SSLContext:
        """Make what TLS needs. A file that does not serve is a :class:`CollectorError` that names its setting."""
        try:
            context = ssl.create_default_context(cafile=self.ca_file or None)
        except (OSError, ValueError) as trouble:
            why = _unread(trouble, "holds no certificate in PEM")
            raise CollectorError(f"{who}: ca_file {self.ca_file}: {why}") from None
        if self.cert_file:
            self._present(context, who)
        if self.insecure_skip_verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    def way_in(self) -> str:
        """Say what may help where a server does not know us."""
        if self.username:
            return "it does not take this username and password"
        if self.bearer_token or self.bearer_token_file:
            return "it does not take this bearer token"
        return "set username and password, or bearer_token_file"

    def _present(self, context: ssl.SSLContext, who: str) -> None:
        try:
            context.load_cert_chain(self.cert_file, self.key_file or None)
        except (OSError, ValueError) as trouble:
            files = f"{self.cert_file} with key_file {self.key_file}" if self.key_file else self.cert_file
            apart = "" if self.key_file else "; set key_file where the key is in a file of its own"
            why = _unread(trouble, f"that is no certificate with its key, in PEM{apart}")
            raise CollectorError(f"{who}: cert_file {files}: {why}") from None

    def _rotated(self) -> list[str]:
        try:
            return [secret(path, "") for path in (self.bearer_token_file, self.password_file)]
        except CollectorError:
            return []


def secret(path: str, setting: str) -> str:
    """Read a secret from a file; ``""`` where there is none to read. ``setting`` begins the sentence of what is wrong."""
    if not path:
        return ""
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as trouble:
        why = trouble.strerror if isinstance(trouble, OSError) else "it is no text"
        raise CollectorError(f"{setting} {path}: {why}") from None


def _unread(trouble: OSError | ValueError, unfit: str) -> str:
    """Say why a file could not be read, or that its content is unfit."""
    known = isinstance(trouble, OSError) and not isinstance(trouble, ssl.SSLError)
    return str(getattr(trouble, "strerror", "") or trouble) if known else unfit
