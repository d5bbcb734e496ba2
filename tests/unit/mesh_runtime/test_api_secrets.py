"""Secrets: what is accepted, and what people see of them."""

import stat

import pytest
from config_words import core, said
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from own_ca import OwnCA, key_pem, rsa_key, secret, tls_secret

from mesh_runtime.api import Config, ConfigError, dump, load, parse
from mesh_runtime.api.admission import admit
from mesh_runtime.api.redaction import redaction, shown
from mesh_runtime.store.diff import unified
from mesh_runtime.store.port import Change
from mesh_runtime.store.sqlite import MEMORY, SqliteConfig

CA = OwnCA()
WEB, OTHER = CA.issue("web.example.com"), CA.issue("other.example.com")


def one(text):
    return load(text)[0]


def problems(text):
    config = Config(objects={item.key: item for item in load(text)})
    return {problem.path: problem.message for problem in admit(config)}


def test_text_that_is_not_encoded_becomes_data():
    item = parse(core("Secret", "a", data={"x": "YQ=="}, stringData={"y": "b"}))
    assert item.manifest["data"] == {"x": "YQ==", "y": "Yg=="}
    assert "stringData" not in item.manifest


def test_base64_in_lines_is_the_same():
    assert parse(core("Secret", "a", data={"x": "YW\nE=\n"})).manifest["data"] == {"x": "YWE="}


def test_what_is_not_base64_is_named():
    assert said(core("Secret", "a", data={"x": "no!"})) == {
        "data.x": "is not Base64; encode it, or write it as stringData"
    }


def test_the_type_for_tls_needs_both_of_its_keys():
    text = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ntype: kubernetes.io/tls\ndata: {tls.crt: ''}"
    assert problems(text) == {"data": "has no tls.key, which type kubernetes.io/tls needs"}


@pytest.mark.parametrize(
    ("data", "where", "complaint"),
    [
        ({"tls.crt": "no", "tls.key": WEB.key_pem}, "tls.crt", "is not a certificate in PEM form"),
        ({"tls.crt": WEB.pem, "tls.key": "no"}, "tls.key", "is not an unencrypted private key in PEM form"),
        ({"cert": WEB.pem, "key": OTHER.key_pem}, "key", "is not the key of the certificate"),
        ({"ca.crt": "no"}, "ca.crt", "is not a certificate in PEM form"),
        ({"cacert": CA.pem, "crl": "no"}, "crl", "is not a list of revoked certificates in PEM form"),
        ({"cert": WEB.pem, "key": key_pem(rsa_key(1024))}, "key", "is an RSA key of 1024 bits"),
        (
            {"cert": WEB.pem, "key": key_pem(ed25519.Ed25519PrivateKey.generate())},
            "key",
            "is neither an RSA key nor one of the curves P-256, P-384 and P-521",
        ),
        (
            {"cert": WEB.pem, "key": key_pem(ec.generate_private_key(ec.SECP256K1()))},
            "key",
            "is neither an RSA key nor one of the curves P-256, P-384 and P-521",
        ),
    ],
)
def test_what_envoy_would_refuse_is_refused_by_its_name(data, where, complaint):
    shown_path = f'data["{where}"]' if "." in where else f"data.{where}"
    assert problems(secret("a", data)) == {shown_path: complaint}


@pytest.mark.parametrize(
    "data",
    [
        {"cert": WEB.pem, "key": WEB.key_pem, "cacert": CA.pem, "crl": CA.revoke(OTHER)},
        {"tls.crt": WEB.pem + CA.pem, "tls.key": WEB.key_pem, "ca.crt": CA.pem + OwnCA().pem},
        {"tls.crt": CA.issue("a", key=rsa_key()).pem, "tls.key": key_pem(rsa_key())},
        {"key": "a key to something else"},
    ],
)
def test_what_serves_is_accepted(data):
    assert problems(secret("a", data)) == {}


def test_nobody_sees_a_value_but_that_it_changed():
    first, second = one(tls_secret("web", WEB)), one(tls_secret("web", OTHER))
    said_of_them = dump([first]) + unified(first, second) + repr(first) + repr(first.spec) + str(shown(first))
    for value in (*first.manifest["data"].values(), *second.manifest["data"].values()):
        assert value not in said_of_them
        assert value[40:80] not in said_of_them
    assert f"-  tls.key: '{redaction(first.manifest['data']['tls.key'])}'" in unified(first, second)
    assert f"+  tls.key: '{redaction(second.manifest['data']['tls.key'])}'" in unified(first, second)


async def test_what_was_read_can_be_written_back_with_its_values_kept():
    async with SqliteConfig(MEMORY) as store:
        item = one(tls_secret("web", WEB))
        await store.commit(Change(put=(item,)))
        again = one(dump(store.current.objects.values()).replace("name: web\n", "name: web\n  labels: {a: b}\n"))
        await store.commit(Change(put=(again,)))
        stored = store.current.objects[item.key]
        assert stored.labels == {"a": "b"}
        assert stored.manifest["data"] == item.manifest["data"]
        assert stored.spec.content("tls.key").decode() == WEB.key_pem


async def test_a_guess_cannot_be_confirmed_elsewhere_and_what_was_read_holds_after_a_restart(tmp_path):
    seen = []
    for name in ("one", "one", "other"):
        (tmp_path / name).mkdir(exist_ok=True)
        async with SqliteConfig(tmp_path / name / "config.db"):
            seen.append(redaction("MQ=="))
    assert seen[0] == seen[1] != seen[2]
    assert (tmp_path / "one" / "config.key").stat().st_mode & 0o777 == 0o600


async def test_one_value_can_be_changed_beside_redacted_ones():
    async with SqliteConfig(MEMORY) as store:
        await store.commit(Change(put=(one(secret("a", {"x": "1", "y": "2"})),)))
        text = dump(store.current.objects.values()).replace(f"'{redaction('MQ==')}'", "Mw==")
        await store.commit(Change(put=(one(text),)))
        (stored,) = store.current.objects.values()
        assert stored.manifest["data"] == {"x": "Mw==", "y": "Mg=="}


async def test_a_redacted_value_of_something_else_is_refused():
    async with SqliteConfig(MEMORY) as store:
        seen = one(dump([one(tls_secret("web", WEB))]))
        with pytest.raises(ConfigError, match="is redacted, and nothing is stored here"):
            await store.commit(Change(put=(seen,)))
        await store.commit(Change(put=(one(tls_secret("web", OTHER)),)))
        with pytest.raises(ConfigError, match="is redacted, and not what is stored now"):
            await store.commit(Change(put=(seen,)))


async def test_a_kept_certificate_does_not_go_with_a_new_key():
    async with SqliteConfig(MEMORY) as store:
        await store.commit(Change(put=(one(tls_secret("web", WEB)),)))
        seen = one(dump(store.current.objects.values())).manifest
        mixed = parse(
            {**seen, "data": {**seen["data"], "tls.key": one(tls_secret("web", OTHER)).manifest["data"]["tls.key"]}}
        )
        with pytest.raises(ConfigError, match="is not the key of the certificate"):
            await store.commit(Change(put=(mixed,)))


async def test_the_way_back_restores_the_real_values(tmp_path):
    path = tmp_path / "config.db"
    async with SqliteConfig(path) as store:
        item = one(tls_secret("web", WEB))
        await store.commit(Change(put=(item,)))
        await store.commit(Change(put=(one(tls_secret("web", OTHER)),)))
        await store.rollback(1, author="me")
        assert store.current.objects[item.key].manifest == item.manifest
        for file in tmp_path.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
