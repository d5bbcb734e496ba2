"""Valid configs made at random from the specs themselves, so that whatever a kind can say is said some time.

Every field of every kind is reached through its model; what a string may be is tried out on the field's own
validators. Objects that the whole config would not admit are left out, and the rest is what ``apply`` accepts.
"""

from __future__ import annotations

import functools
import json
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Union

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from mesh_runtime.api import KINDS, Config, ConfigError, ConfigObject, parse
from mesh_runtime.api.admission import admit
from mesh_runtime.api.mesh_config import KEY, MeshConfig

WORLD = {"Namespace", "ServiceAccount", "Service", "Secret", "ConfigMap", "WorkloadEntry"}
"""Kinds that a mesh under test has its own objects of; the others are made up."""

STRINGS = (
    *("catalog", "orders", "db", "ingress", "v1", "v2", "shop", "other", "mesh", "web-cert"),
    *("db.shop.svc.cluster.local", "*.example.com", "pay.example.com", "*", "shop/*", "./pay.example.com"),
    *("x-user", "user-agent", ":method", "end-user", "location", "@request.auth.claims.sub", "request.headers[x-user]"),
    *("/", "/a", "/a/b?c=d", "/new", "GET", "POST", "http", "https", "one", "a b", "", "jason"),
    *("[a-z]+", "/a/.*", "(a|b)c", ".*", "^x$", r"\d+", r"/\1"),
    *("1s", "50ms", "5m", "1h", "300s", "10.0.0.0/8", "127.0.0.1", "192.168.1.1", "2001:db8::/32", "::1"),
    *("5xx", "connect-failure,503", "reset", "gateway-error,cancelled", "UNAVAILABLE", "%REQ(x)%", "100%%"),
    *("cluster.local/ns/shop/sa/catalog", "spiffe://cluster.local/ns/shop/sa/orders", "shop/catalog", "a*", "*z"),
    *("region1/zone1", "region1/zone1/sub1", "region2/*", "topology.istio.io/network", "app", "version"),
    *("https://issuer.example.com", "http://127.0.0.1:9/jwks", "test@example.com", "{}", "otel", "file"),
    *("istio.io", "REQUEST_COUNT", "response.code >= 400", "request.method", "'literal'", "0", "1", "443", "8080"),
    *("envoy.filters.network.http_connection_manager", "envoy.filters.http.router", "tls.crt", "default"),
    *("AES128-SHA", "ECDHE-RSA-AES128-GCM-SHA256", "/etc/ssl/certs/ca-certificates.crt", "kubernetes.io/tls"),
)
PER_KIND = 2
REPAIRS = 30
DEEPEST = 9


class UnmakeableError(Exception):
    """No value was found that the field's validators accept."""


class Maker:
    """Makes configs with a source of randomness such as :class:`random.Random`."""

    def __init__(
        self,
        random: Any,
        names: Mapping[str, tuple[Any, ...]] | None = None,
        only: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self._random = random
        self._names = names or {}
        """Field names to the strings and objects that mean something there, such as a service's for ``host``."""
        self._only = only or {}
        """Field names to all that may be there, such as paths of files, which must exist."""

    def config(self, base: tuple[ConfigObject, ...], kinds: tuple[str, ...] = ()) -> tuple[ConfigObject, ...]:
        """Make objects that are admitted together with *base*, which they do not replace."""
        made: dict[Any, ConfigObject] = {}
        for kind in kinds or tuple(name for name in KINDS if name not in WORLD):
            for _ in range(self._random.randint(0, PER_KIND)):
                item = self.item(kind)
                if item is not None and item.key not in {one.key for one in base}:
                    made[item.key] = item
        settings = None if kinds or self._random.random() < 0.5 else self.mesh_config()
        if settings is not None:
            made[settings.key] = settings
        return _admitted(base, list(made.values()))

    def item(self, kind: str) -> ConfigObject | None:
        """Make an object of a kind; ``None`` where that did not work out."""
        found = KINDS[kind]
        try:
            spec = self._model(found.spec_model, 0)
        except UnmakeableError:
            return None
        metadata = {"name": self._random.choice(("one", "two", "three"))}
        if found.namespaced:
            metadata["namespace"] = self._random.choice(("shop", "shop", "other", "istio-system"))
        manifest = {"apiVersion": found.api_version, "kind": kind, "metadata": metadata}
        try:
            return parse({**manifest, **spec} if found.flat else {**manifest, "spec": spec})
        except ConfigError:
            return None

    def mesh_config(self) -> ConfigObject | None:
        """Make the mesh's own config; ``None`` where that did not work out."""
        try:
            text = json.dumps(self._model(MeshConfig, 0))
        except UnmakeableError:
            return None
        metadata = {"name": KEY.name, "namespace": KEY.namespace}
        return parse({"apiVersion": "v1", "kind": KEY.kind, "metadata": metadata, "data": {"mesh": text}})

    def _model(self, model: type[BaseModel], depth: int) -> dict[str, Any]:
        fields = {info.alias or name: (name, info) for name, info in model.model_fields.items()}
        chance = self._random.choice((0.15, 0.4, 0.7)) / (1 + depth / 3)
        values = {}
        for alias, (name, info) in fields.items():
            if info.is_required() or self._random.random() < chance:
                self._set(values, alias, name, info, depth)
        for _ in range(REPAIRS):
            try:
                model.model_validate(values)
            except ValidationError as error:
                self._repair(values, fields, error, depth)
            else:
                return values
        raise UnmakeableError(model.__name__)

    def _set(self, values: dict[str, Any], alias: str, name: str, info: FieldInfo, depth: int) -> None:
        try:
            values[alias] = self._value(_whole(info), name, depth + 1)
        except UnmakeableError:
            if info.is_required():
                raise

    def _repair(self, values: dict[str, Any], fields: dict[str, Any], error: ValidationError, depth: int) -> None:
        """Add, make anew or drop one of the fields that were complained about, or any where all of it was."""
        blamed = [str(step) for one in error.errors() for step in _path(one)[:1] if str(step) in fields]
        alias = self._random.choice(blamed or list(values) or list(fields))
        name, info = fields[alias]
        required = info.is_required()
        if alias in values and not required and self._random.random() < 0.7:
            del values[alias]
        elif not blamed and self._random.random() < 0.7:
            alias = self._random.choice(list(fields))
            self._set(values, alias, *fields[alias], depth)
        else:
            self._set(values, alias, name, info, depth)

    def _value(self, kind: Any, name: str, depth: int) -> Any:
        if depth > DEEPEST:
            raise UnmakeableError(name)
        adapter = _adapter(kind)
        for _ in range(40):
            value = self._try(kind, (), name, depth)
            if adapter is None or _accepts(adapter, value):
                return value
        raise UnmakeableError(name)

    def _try(self, kind: Any, metadata: tuple[Any, ...], name: str, depth: int) -> Any:
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if origin is Annotated:
            return self._try(arguments[0], (*metadata, *kind.__metadata__), name, depth)
        if origin in {Union, types.UnionType}:
            options = [option for option in arguments if option is not type(None)]
            return self._try(self._random.choice(options), metadata, name, depth)
        if origin is Literal:
            return self._random.choice(arguments)
        if origin is tuple:
            return [self._value(arguments[0], name, depth + 1) for _ in range(self._random.choice((0, 1, 1, 1, 2, 3)))]
        if origin is dict:
            likely = [one for one in self._names.get(name, ()) if isinstance(one, Mapping)]
            if likely and self._random.random() < 0.9:
                return dict(self._random.choice(likely))
            count = self._random.choice((0, 1, 1, 2))
            key, value = arguments
            return {self._value(key, name, depth): self._value(value, name, depth + 1) for _ in range(count)}
        return self._plain(kind, metadata, name, depth)

    def _plain(self, kind: Any, metadata: tuple[Any, ...], name: str, depth: int) -> Any:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return self._model(kind, depth)
        if kind is bool:
            return self._random.random() < 0.5
        if kind in {int, float}:
            least, most = _bounds(metadata)
            number = self._random.choice((least, most, self._random.randint(least, min(most, least + 1000))))
            return number if kind is int else float(number)
        if kind is Any and name != "value":
            return self._random.choice((self._random.randint(1, 65535), self._string(name)))
        return self._string(name)

    def _string(self, name: str) -> str:
        if name in self._only:
            return self._random.choice(self._only[name])
        likely = [one for one in self._names.get(name, ()) if isinstance(one, str)]
        if likely and self._random.random() < 0.7:
            return str(self._random.choice(likely))
        return str(self._random.choice(STRINGS))


def _admitted(base: tuple[ConfigObject, ...], made: list[ConfigObject]) -> tuple[ConfigObject, ...]:
    """Leave out what is complained about until nothing is."""
    while True:
        problems = admit(Config(objects={item.key: item for item in (*base, *made)}))
        blamed = {problem.object for problem in problems}
        kept = [item for item in made if str(item.key) not in blamed]
        if len(kept) == len(made):
            assert not problems, problems
            return tuple(made)
        made = kept


def _whole(info: FieldInfo) -> Any:
    kind = info.annotation
    for one in info.metadata:
        kind = Annotated[kind, one]
    return kind


def _bounds(metadata: tuple[Any, ...]) -> tuple[int, int]:
    least, most = 0, 1000
    for one in _flat(metadata):
        match one:
            case Ge(ge=bound) | Gt(gt=bound):
                least = int(bound) + isinstance(one, Gt)
            case Le(le=bound) | Lt(lt=bound):
                most = int(bound) - isinstance(one, Lt)
    return least, max(least, most)


def _flat(metadata: tuple[Any, ...]) -> Iterator[Any]:
    for one in metadata:
        if isinstance(one, FieldInfo):
            yield from one.metadata
        else:
            yield one


def _path(error: Any) -> tuple[Any, ...]:
    """Where an error is; of several complaints in one the first counts."""
    flaws = error.get("ctx", {}).get("flaws", ())
    return (*error["loc"], *(flaws[0].path if flaws else ()))


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any] | None:
    bare = kind
    while typing.get_origin(bare) is Annotated:
        bare = typing.get_args(bare)[0]
    if isinstance(bare, type) and issubclass(bare, BaseModel) and bare is kind:
        return None  # a model validates itself
    return TypeAdapter(kind)


def _accepts(adapter: TypeAdapter[Any], value: Any) -> bool:
    try:
        adapter.validate_python(value)
    except ValidationError:
        return False
    return True
