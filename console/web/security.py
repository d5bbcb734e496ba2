"""The outermost ASGI middleware: what every HTTP and WebSocket route, Dash's own included, must pass.

Three checks, in this order. *Host*: an allow-list, so that a name rebound to our address is refused.
*Origin*, *Sec-Fetch-Site*: other sites may link here and nothing else. *Token*: on listeners that need
one.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request, cookie_parser
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from collectors.loopback import is_loopback
from console.web import login

COOKIE = "meshscope_session"
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")
FORM_LIMIT = 4096
HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Who may talk to one listener."""

    hosts: frozenset[str]
    """Host names without port, lower case."""
    token: str = ""
    """Empty: nobody is asked."""

    @property
    def session(self) -> str:
        """The cookie's value: proves the token without carrying it, and ends when the token changes."""
        return hmac.digest(self.token.encode(), b"meshscope session", hashlib.sha256).hex()


def policy(listen: str, *, allowed_hosts: Iterable[str], token: str) -> Policy:
    """Build a listener's policy. A listener beyond loopback without a token does not construct."""
    if not is_loopback(listen) and not token:
        raise ValueError(f"listening on {listen} needs a token")
    names = {*LOOPBACK_NAMES, listen, *allowed_hosts}
    return Policy(hosts=frozenset(name.lower() for name in names), token=token)


def content_policy(script_hashes: Iterable[str] = ()) -> str:
    """Write the Content-Security-Policy: our own files only, plus the inline scripts that Dash names by hash."""
    scripts = " ".join(("'self'", *script_hashes))
    return (
        f"default-src 'self'; script-src {scripts}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self'; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )


class Guard:
    """Wraps an ASGI application. *script_hashes* is asked once, at the first answer, when Dash is complete."""

    def __init__(self, app: ASGIApp, policy: Policy, script_hashes: Callable[[], Iterable[str]] = tuple) -> None:
        self.app = app
        """What is guarded."""
        self._policy = policy
        self._script_hashes = script_hashes
        self._content_policy = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let through, or answer in the application's place."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None and scope["type"] == "http" and scope["path"] == login.PATH and self._policy.token:
            refusal = await self._log_in(Request(scope, receive))
        if refusal is not None:
            await self._refuse(scope, receive, send, refusal)
        elif scope["type"] == "websocket":
            await self.app(scope, receive, send)
        else:
            await self.app(scope, receive, self._dressed(send))

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or _hostname(hosts[0]) not in self._policy.hosts:
            return _problem(
                421, f"host {', '.join(hosts) or '(none)'} is not ours; add its name to web.allowed_hosts if it is"
            )
        if not _same_origin(headers, hosts[0]):
            return _problem(403, "requests from other origins are refused")
        if not _own_site(scope, headers):
            return _problem(403, "requests made by other sites are refused")
        if self._policy.token and not self._is_known(headers) and scope["path"] != login.PATH:
            if scope["type"] == "http" and "text/html" in headers.get("accept", ""):
                return HTMLResponse(login.page(_target(scope)), 401, {"WWW-Authenticate": "Bearer"})
            return _problem(
                401, "a token is needed: send `Authorization: Bearer TOKEN`", {"WWW-Authenticate": "Bearer"}
            )
        return None

    def _is_known(self, headers: Headers) -> bool:
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _equal(bearer.strip(), self._policy.token):
            return True
        return _equal(_cookie(headers), self._policy.session)

    async def _log_in(self, request: Request) -> Response:
        """Exchange the token for a session cookie."""
        if request.method != "POST":
            return HTMLResponse(login.page("/"), 401)
        form = b""
        async for chunk in request.stream():
            form += chunk
            if len(form) > FORM_LIMIT:
                return _problem(413, "the form is too large")
        token, target = login.fields(form)
        if not _equal(token, self._policy.token):
            return HTMLResponse(login.page(target, failed=True), 401)
        answer = RedirectResponse(target, 303)
        secure = request.url.scheme == "https"
        answer.set_cookie(COOKIE, self._policy.session, httponly=True, samesite="strict", secure=secure)
        return answer

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, refusal: Response) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "refused"})  # before accept: 403
        else:
            await refusal(scope, receive, self._dressed(send))

    def _dressed(self, send: Send) -> Send:
        self._content_policy = self._content_policy or content_policy(self._script_hashes())

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = self._content_policy
                headers["X-Content-Type-Options"] = "nosniff"
                headers["X-Frame-Options"] = "DENY"
                # not no-referrer: with that, a form's POST carries "Origin: null"
                headers["Referrer-Policy"] = "same-origin"
                headers["Cross-Origin-Opener-Policy"] = "same-origin"
                headers["Cross-Origin-Resource-Policy"] = "same-origin"
            await send(message)

        return dressed


def _hostname(host: str) -> str:
    match = HOST.fullmatch(host)
    return match["name"].strip("[]").rstrip(".").lower() if match else ""


def _same_origin(headers: Headers, host: str) -> bool:
    """Accept no Origin (no browser's write), or the one that names the host it was sent to."""
    origins = headers.getlist("origin")
    return all(origin.lower() in (f"http://{host.lower()}", f"https://{host.lower()}") for origin in origins)


def _own_site(scope: Scope, headers: Headers) -> bool:
    site = headers.get("sec-fetch-site", "none")
    is_link = (
        scope["type"] == "http"
        and scope["method"] in ("GET", "HEAD")
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )
    return site in ("same-origin", "none") or is_link


def _cookie(headers: Headers) -> str:
    return cookie_parser(headers.get("cookie", "")).get(COOKIE, "")


def _equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def _target(scope: Scope) -> str:
    query = scope["query_string"].decode("latin-1")
    path: str = scope["path"]
    return path + (f"?{query}" if query else "")


def _problem(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": message}, status, headers)
