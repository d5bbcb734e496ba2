"""The page that asks for the token; plain HTML, so that nothing else is reachable before it."""

from __future__ import annotations

from html import escape
from urllib.parse import parse_qs

PATH = "/login"

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Meshscope · Sign in</title><style>
:root{{color-scheme:light dark;font:15px/1.5 Inter,system-ui,sans-serif}}
body{{display:grid;place-items:center;min-height:100vh;margin:0;background:Canvas;color:CanvasText}}
form{{display:grid;gap:.75rem;width:min(22rem,90vw)}}
h1{{font-size:1.25rem;margin:0}}
p{{margin:0}}
input,button{{font:inherit;padding:.55rem .75rem;border-radius:.4rem;border:1px solid GrayText}}
</style></head><body><main><form method="post" action="{path}">
<h1>Meshscope</h1>
<label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<input type="hidden" name="next" value="{target}">
<p>It is in the file <code>token</code> of the server's data directory, unless it was set there.</p>
{note}<button type="submit">Sign in</button>
</form></main></body></html>
"""


def page(target: str, *, failed: bool = False) -> str:
    """Render the form; *target* is where the visitor wanted to go."""
    note = '<p role="alert">This is not the token.</p>' if failed else ""
    return _PAGE.format(path=PATH, target=escape(_local(target), quote=True), note=note)


def fields(form: bytes) -> tuple[str, str]:
    """Token and target of a submitted form; empty or ``/`` where missing."""
    values = parse_qs(form.decode("utf-8", "replace"), max_num_fields=8)
    return values.get("token", [""])[0], _local(values.get("next", ["/"])[0])


def _local(target: str) -> str:
    r"""Keep only paths of ours: ``//host``, ``/\host`` and control characters would lead elsewhere."""
    is_path = target.startswith("/") and target[1:2] not in ("/", "\\") and target.isprintable()
    return target if is_path and not target.startswith(PATH) else "/"
