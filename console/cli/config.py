"""``apply``, ``delete``, ``get``, ``diff``, ``history``, ``rollback``: config as kubectl users expect it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from console.cli.client import Client, ServerError, author, with_client
from console.cli.columns import tables
from console.cli.output import age, as_json, rejections, table
from console.enumerated import enumerated
from graph.durations import milliseconds

FILES = click.option(
    "-f", "--filename", "files", multiple=True, required=True, help="File, directory, or - for standard input."
)
NAMESPACE = click.option("-n", "--namespace", default="", help="Namespace; of objects that do not name theirs, too.")
REASON = click.option("--reason", default="", help="Why; kept in the history.")


@click.command()
@FILES
@NAMESPACE
@REASON
@click.option("--dry-run", is_flag=True, help="Check everything, write nothing.")
@click.option("-o", "--output", type=click.Choice(["json"]))
@with_client
def apply(
    client: Client, *, files: Sequence[str], namespace: str, reason: str, dry_run: bool, output: str | None
) -> None:
    """Write config objects from files: all of them as one revision, or none."""
    body = {"yaml": _read(files), "namespace": namespace or "default", "reason": reason, "dryRun": dry_run}
    _report(client.post("/config", body | {"author": author()}), output)


@click.command()
@click.argument("kind", required=False)
@click.argument("names", nargs=-1)
@click.option("-f", "--filename", "files", multiple=True, help="File, directory, or - for standard input.")
@NAMESPACE
@REASON
@click.option("--dry-run", is_flag=True, help="Check everything, write nothing.")
@with_client
def delete(
    client: Client,
    *,
    kind: str | None,
    names: Sequence[str],
    files: Sequence[str],
    namespace: str,
    reason: str,
    dry_run: bool,
) -> None:
    """Delete config objects by KIND and NAME, or those that files contain."""
    if bool(files) == bool(kind):
        raise click.UsageError("give either -f, or a kind and names")
    common = {"author": author(), "reason": reason, "dryRun": dry_run}
    if files:
        _report(client.post("/config/delete", {"yaml": _read(files), "namespace": namespace or "default", **common}))
        return
    kind, names = _kind_and_names(kind or "", names)
    if not names:
        raise click.UsageError("name the objects to delete")
    manifests = [_one(client, kind, name, namespace) for name in names]
    _report(client.post("/config/delete", {"manifests": manifests, **common}))


@click.command()
@click.argument("kind")
@click.argument("name", required=False, default="")
@NAMESPACE
@click.option("-A", "--all-namespaces", is_flag=True, help="Every namespace; the default without -n.")
@click.option("-o", "--output", type=click.Choice(["yaml", "json", "name"]))
@with_client
def get(client: Client, *, kind: str, name: str, namespace: str, all_namespaces: bool, output: str | None) -> None:
    """Show objects of a KIND (``all`` for every one), or the one called NAME."""
    kind, names = _kind_and_names(kind, [name] if name else [])
    query = {"kind": "" if kind == "all" else kind, "namespace": "" if all_namespaces else namespace}
    query["name"] = names[0] if names else ""
    if output == "yaml":
        click.echo(client.text("/config", **query, format="yaml"), nl=False)
        return
    items = client.get("/config", **query)["items"]
    if output == "json":
        click.echo(
            as_json(items[0] if name and len(items) == 1 else {"apiVersion": "v1", "kind": "List", "items": items})
        )
    elif output == "name":
        click.echo("\n".join(_title(item["kind"], item["metadata"]["name"], _group(item)) for item in items))
    elif items:
        click.echo("\n\n".join(tables(items)))
    else:
        click.echo(f"No resources found{f' in {namespace} namespace' if namespace else ''}.", err=True)


@click.command()
@FILES
@NAMESPACE
@with_client
def diff(client: Client, files: Sequence[str], namespace: str) -> None:
    """Compare files with the live config; exits with 1 when they differ."""
    parts = client.post("/config/diff", {"yaml": _read(files), "namespace": namespace or "default"})["diff"]
    click.echo("".join(part["unified"] for part in parts), nl=False)
    if parts:
        sys.exit(1)


@click.command()
@click.argument("revision", required=False, type=click.IntRange(min=0))
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@click.option("-o", "--output", type=click.Choice(["json"]))
@with_client
def history(client: Client, revision: int | None, limit: int, output: str | None) -> None:
    """List revisions, newest first; with REVISION, show what it changed."""
    answer = client.get("/history", limit=limit) if revision is None else client.get(f"/history/{revision}")
    if output == "json":
        click.echo(as_json(answer))
    elif revision is not None:
        click.echo("".join(change["unified"] for change in answer["changes"]), nl=False)
    else:
        rows = [
            (r["revision"], age(r["at"]), r["author"] or "-", _changed(r["changed"]), r["reason"] or "-")
            for r in answer["items"]
        ]
        click.echo(table(("REVISION", "AGE", "AUTHOR", "CHANGED", "REASON"), rows))


@click.command()
@click.argument("revision", type=click.IntRange(min=0))
@REASON
@with_client
def rollback(client: Client, revision: int, reason: str) -> None:
    """Return to REVISION by writing a new revision equal to it."""
    _report(client.post("/rollback", {"revision": revision, "author": author(), "reason": reason}))


def _read(files: Sequence[str]) -> str:
    """Join everything into one YAML stream."""
    return "\n---\n".join(text for name in files for text in _texts(name))


def _texts(name: str) -> Iterator[str]:
    if name == "-":
        yield sys.stdin.read()
        return
    path = Path(name)
    try:
        inside = (
            sorted(p for p in path.rglob("*") if p.suffix in (".yaml", ".yml", ".json")) if path.is_dir() else [path]
        )
        for file in inside:
            yield file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as trouble:
        raise click.ClickException(f"{name}: {trouble}") from trouble


def _kind_and_names(kind: str, names: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Read ``vs/catalog`` like ``vs catalog``."""
    before, slash, name = kind.partition("/")
    return (before, [name, *names]) if slash else (kind, names)


def _one(client: Client, kind: str, name: str, namespace: str) -> Mapping[str, Any]:
    items = client.get("/config", kind=kind, name=name, namespace=namespace)["items"]
    if len(items) > 1:
        where = ", ".join(item["metadata"]["namespace"] for item in items)
        raise ServerError(f"{kind} {name!r} is in several namespaces ({where}); choose one with -n")
    found: Mapping[str, Any] = items[0]
    return found


def _report(answer: Mapping[str, Any], output: str | None = None) -> None:
    if output == "json":
        click.echo(as_json(answer))
        return
    dry = " (dry run)" if answer["dryRun"] else ""
    for change in answer["changed"]:
        click.echo(f"{_title(change['kind'], change['name'], change['group'])} {change['action']}{dry}")
    for note in answer["notes"]:
        click.echo(f"note: {note}", err=True)
    settled = answer["settled"]
    if settled:
        click.echo(_settled(answer["revision"], settled), err=True)


def _settled(revision: int, settled: Mapping[str, Any]) -> str:
    parts = [
        f"revision {revision}: {len(settled['acknowledged'])} proxies acknowledged in {milliseconds(settled['elapsed_ms'])}"
    ]
    if settled["waiting"]:
        parts.append(f"not yet: {', '.join(settled['waiting'])}")
    if settled["rejected"]:
        parts.append(f"rejected by {rejections(settled['rejected'])}")
    return "; ".join(parts)


def _title(kind: str, name: str, group: str) -> str:
    return f"{kind.lower()}{f'.{group}' if group else ''}/{name}"


def _group(manifest: Mapping[str, Any]) -> str:
    group, slash, _ = manifest["apiVersion"].partition("/")
    return group if slash else ""


def _changed(keys: Sequence[Mapping[str, str]]) -> str:
    return enumerated([f"{key['kind'].lower()}/{key['name']}" for key in keys], 3)
