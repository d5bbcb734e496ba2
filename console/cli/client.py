"""Speaks ``/api/v1`` to a server: over the Unix socket that its data directory names, or by URL and token."""

from __future__ import annotations

import getpass
import http.client
import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlencode, urlsplit

import click

from console.cli.options import data_option, server_option, token_option
from console.datadir import DataDir, DataDirError

P = ParamSpec("P")
R = TypeVar("R")

TIMEOUT_S = 30.0
PREFIX = "/api/v1"


class ServerError(click.ClickException):
    """The server refused or cannot be reached; the message is for the user."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status

    def show(self, file: Any = None) -> None:
        """Write as kubectl does."""
        click.echo(f"error: {self.message}", err=True, file=file)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Client:
    """One server."""

    def __init__(self, *, data: Path, server: str = "", token: str = "") -> None:
        self._data = data
        self._server = server
        self._token = token

    def get(self, path: str, /, **query: object) -> Any:
        """Ask; empty parameters are left out."""
        return json.loads(self._exchange("GET", _target(path, query), None))

    def lines(self, path: str, /, **query: object) -> Iterator[Any]:
        """Ask for a stream of JSON lines; yields each as it comes, until the server ends it or the user does."""
        where, connection = self._connection()
        try:
            connection.request("GET", _target(path, query), None, self._headers(None))
            answer = connection.getresponse()
            if answer.status >= 400:
                raise ServerError(_reason(answer.read(), answer.status), answer.status)
            for line in answer:
                if line.strip():
                    yield json.loads(line)
        except (OSError, http.client.HTTPException) as trouble:
            raise ServerError(f"the server at {where} cannot be reached: {trouble}") from trouble
        except KeyboardInterrupt:
            return
        finally:
            connection.close()

    def text(self, path: str, **query: object) -> str:
        """Ask for something that is not JSON."""
        return self.content(path, **query).decode()

    def content(self, path: str, **query: object) -> bytes:
        """Ask for something that is no text."""
        return self._exchange("GET", _target(path, query), None)

    def post(self, path: str, body: Mapping[str, object]) -> Any:
        """Write."""
        return json.loads(self._exchange("POST", _target(path, {}), json.dumps(body).encode()))

    def delete(self, path: str, **query: object) -> Any:
        """Delete."""
        return json.loads(self._exchange("DELETE", _target(path, query), None))

    def _exchange(self, method: str, target: str, body: bytes | None) -> bytes:
        headers = self._headers(body)
        where, connection = self._connection()
        try:
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as trouble:
            raise ServerError(f"the server at {where} cannot be reached: {trouble}") from trouble
        finally:
            connection.close()
        if answer.status >= 400:
            raise ServerError(_reason(text, answer.status), answer.status)
        return text

    def _headers(self, body: bytes | None) -> dict[str, str]:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        return headers

    def _connection(self) -> tuple[str, http.client.HTTPConnection]:
        if self._server:
            url = urlsplit(self._server if "//" in self._server else f"http://{self._server}")
            kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
            return self._server, kind(url.hostname or "", url.port, timeout=TIMEOUT_S)
        try:
            path = DataDir(self._data).read_server().socket
        except DataDirError as trouble:
            raise ServerError(str(trouble)) from trouble
        return path, _UnixConnection(path)


def with_client(command: Callable[P, R]) -> Callable[..., R]:
    """Give a command the options that choose a server, and the client as its argument ``client``."""

    @data_option
    @server_option
    @token_option
    @wraps(command)
    def wrapped(*args: Any, data: Path, server: str, token: str, **options: Any) -> R:
        options["client"] = Client(data=data, server=server, token=token)
        return command(*args, **options)

    return wrapped


def author() -> str:
    """Name who sits here."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in containers
        return f"uid {os.getuid()}"


def _target(path: str, query: Mapping[str, object]) -> str:
    given = {name: value for name, value in query.items() if value not in ("", None, False)}
    return PREFIX + path + (f"?{urlencode(given, doseq=True)}" if given else "")


def _reason(body: bytes, status: int) -> str:
    try:
        fields = json.loads(body)
    except ValueError:
        return f"the server answered {status}"
    problems = fields.get("problems") if isinstance(fields, dict) else None
    if problems:
        lines = [_problem(problem) for problem in problems]
        return "\n       ".join(lines)
    if not isinstance(fields, dict):
        return str(fields)
    return "\n".join([str(fields.get("error", f"the server answered {status}")), *_pointed(fields)])


def _pointed(fields: Mapping[str, Any]) -> Iterator[str]:
    """Show the character of an expression that is wrong."""
    if "column" in fields and "expression" in fields:
        yield f"    {fields['expression']}"
        yield f"    {' ' * (fields['column'] - 1)}^"


def _problem(problem: Mapping[str, str]) -> str:
    where = f" {problem['path']}" if problem.get("path") else ""
    way_out = f"; {problem['fix']}" if problem.get("fix") else ""
    return f"{problem['object']}{where}: {problem['message']}{way_out}"
