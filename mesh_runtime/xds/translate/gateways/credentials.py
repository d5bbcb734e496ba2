"""Secrets (and ConfigMaps with authorities) as Envoy is given them, by Istio's names of them.

``kubernetes://<namespace>/<name>`` is a certificate with its key, ``kubernetes://<namespace>/<name>-cacert`` the
authorities that the other end's certificate must come from: of the Secret of that very name, else of ``<name>``.
``configmap://<namespace>/<name>-cacert`` are the authorities of a ConfigMap. ``file-cert:<certificate>~<key>`` and
``file-root:<authorities>``, with ``~<revoked>`` where there is a list of those, are in files that the proxy reads, and
reads again when another file is moved into their place.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Final

from mesh_runtime.api.certificates import Names, certificates_complaint, served_names, trusted_names
from mesh_runtime.api.core import ConfigMap
from mesh_runtime.api.secrets import Secret
from mesh_runtime.xds.snapshot import Envoy, Group
from mesh_runtime.xds.translate.tls import ADS
from mesh_runtime.xds.translate.world import World

FILE_PAIR: Final = "file-cert:"
FILE_AUTHORITIES: Final = "file-root:"
SECRETS: Final = "kubernetes://"
CONFIG_MAPS: Final = "configmap://"
AUTHORITIES: Final = "-cacert"
"""What the name of a resource ends with that holds authorities, not a certificate with its key."""
_FILES: Final[Envoy] = {**ADS, "initial_fetch_timeout": "2s"}
"""A file may not be there: what waits for it must not keep all else waiting."""


def certificate_name(namespace: str, name: str) -> str:
    """Return the resource's name of a Secret's certificate and key. *namespace* is the proxy's own."""
    return f"{SECRETS}{namespace}/{name.removeprefix(SECRETS).removeprefix(f'{namespace}/')}"


def authorities_name(namespace: str, name: str) -> str:
    """Return the resource's name of the authorities that a credential's name stands for."""
    if name.startswith(CONFIG_MAPS):
        return f"{name.removesuffix(AUTHORITIES)}{AUTHORITIES}"
    return f"{certificate_name(namespace, name).removesuffix(AUTHORITIES)}{AUTHORITIES}"


def pair_in_files(certificate: str, key: str) -> str:
    """Return the resource's name of a certificate and its key that are in files of the proxy's machine."""
    return f"{FILE_PAIR}{certificate}~{key}"


def authorities_in_files(authorities: str, revoked: str) -> str:
    """Return the resource's name of authorities, and of what they revoked if anything, in files of the machine."""
    return f"{FILE_AUTHORITIES}{authorities}{f'~{revoked}' if revoked else ''}"


def asked_for(name: str) -> Envoy:
    """Return how a proxy asks for a secret by its resource's name."""
    return {"name": name, "sds_config": _FILES if name.startswith((FILE_PAIR, FILE_AUTHORITIES)) else ADS}


def secrets_named(world: World, names: Iterable[str]) -> Group:
    """Return the secrets of these resource names, each once, in the names' order; leaves out what cannot be served."""
    found = (secret_named(world, name) for name in sorted(set(names)))
    return tuple(secret for secret in found if secret is not None)


def secret_named(world: World, name: str) -> Envoy | None:
    """Return one secret by its resource's name; ``None``: it cannot be served, as :func:`complaint` says why."""
    return _looked_up(world, name)[0]


def complaint(world: World, name: str) -> str:
    """Say why a secret cannot be served; ``""``: it can."""
    return _looked_up(world, name)[1]


def _looked_up(world: World, name: str) -> tuple[Envoy | None, str]:
    return world.once(("credential", name), lambda: _look_up(world, name))


def _look_up(world: World, name: str) -> tuple[Envoy | None, str]:
    if name.startswith((FILE_PAIR, FILE_AUTHORITIES)):
        return _of_files(name), ""
    namespace, slash, local = name.removeprefix(SECRETS).removeprefix(CONFIG_MAPS).partition("/")
    if not slash or "/" in local:
        return None, f"{local or name} is of another namespace, whose Secrets are not for this proxy"
    if name.startswith(CONFIG_MAPS):
        return _config_map(world, name, namespace, local.removesuffix(AUTHORITIES))
    if not name.endswith(AUTHORITIES):
        secret = _secret(world, namespace, local)
        return _certificate(name, f"{namespace}/{local}", secret)
    secret = _secret(world, namespace, local) or _secret(world, namespace, local.removesuffix(AUTHORITIES))
    return _authorities(name, f"{namespace}/{local.removesuffix(AUTHORITIES)}", secret)


def _of_files(name: str) -> Envoy:
    kind, _, paths = name.partition(":")
    first, _, second = paths.partition("~")
    if f"{kind}:" == FILE_PAIR:
        pair = {"certificate_chain": {"filename": first}, "private_key": {"filename": second}}
        return {"name": name, "tls_certificate": pair}
    revoked = {"crl": {"filename": second}} if second else {}
    return {"name": name, "validation_context": {"trusted_ca": {"filename": first}, **revoked}}


def _secret(world: World, namespace: str, name: str) -> Secret | None:
    known = world.once(("secrets", namespace), lambda: _by_name(world, "Secret", namespace))
    found = known.get(name)
    return found if isinstance(found, Secret) else None


def _by_name(world: World, kind: str, namespace: str) -> Mapping[str, object]:
    return {item.key.name: item.spec for item in world.objects(kind, namespace)}


def _certificate(name: str, title: str, secret: Secret | None) -> tuple[Envoy | None, str]:
    if secret is None:
        return None, f"there is no Secret {title}"
    names = served_names(secret.data)
    if names is None or not (secret.content(names.certificate) and secret.content(names.key)):
        return None, f"the Secret {title} has neither tls.crt and tls.key nor cert and key{_instead(secret)}"
    if unsound := _unsound(secret, names):
        return None, f"the Secret {title}: {unsound}"
    certificate = {
        "certificate_chain": _inline(secret.content(names.certificate)),
        "private_key": _inline(secret.content(names.key)),
    }
    return {"name": name, "tls_certificate": certificate}, ""


def _authorities(name: str, title: str, secret: Secret | None) -> tuple[Envoy | None, str]:
    if secret is None:
        return None, f"there is no Secret {title}{AUTHORITIES}, nor {title}"
    names = trusted_names(secret.data)
    if names is None or not secret.content(names.authority):
        return None, f"the Secret {title} has neither ca.crt nor cacert{_instead(secret)}"
    if unsound := _unsound(secret, names):
        return None, f"the Secret {title}: {unsound}"
    context = {"trusted_ca": _inline(secret.content(names.authority))}
    if secret.content(names.revoked):
        context["crl"] = _inline(secret.content(names.revoked))
    return {"name": name, "validation_context": context}, ""


def _config_map(world: World, name: str, namespace: str, local: str) -> tuple[Envoy | None, str]:
    found = world.once(("config maps", namespace), lambda: _by_name(world, "ConfigMap", namespace)).get(local)
    if not isinstance(found, ConfigMap):
        return None, f"there is no ConfigMap {namespace}/{local}"
    names = trusted_names(found.data)
    if names is None:
        return None, f"the ConfigMap {namespace}/{local} has neither ca.crt nor cacert"
    pem = found.data[names.authority].encode()
    wrong = certificates_complaint(pem)
    if wrong:
        return None, f"{names.authority} of the ConfigMap {namespace}/{local} {wrong}"
    return {"name": name, "validation_context": {"trusted_ca": _inline(pem)}}, ""


def _unsound(secret: Secret, names: Names) -> str:
    return "; ".join(f"{flaw.path[-1]} {flaw.message}" for flaw in secret.unsound if flaw.path[-1] in names)


def _instead(secret: Secret) -> str:
    return f", but {', '.join(sorted(secret.data))}" if secret.data else "; it is empty"


def _inline(content: bytes) -> Envoy:
    return {"inline_bytes": base64.b64encode(content).decode()}
