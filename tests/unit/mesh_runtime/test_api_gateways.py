"""Gateways: what a server may say of TLS."""

import pytest
from config_words import manifest, said

from mesh_runtime.api import parse
from mesh_runtime.api.networking.server_tls import CIPHER_SUITES, known_cipher_suites


def gateway(tls=None, protocol="HTTPS", **fields):
    server = {"port": {"number": 443, "name": "main", "protocol": protocol}, "hosts": ["a.example.com"], **fields}
    return manifest("Gateway", "web", {"servers": [server | ({} if tls is None else {"tls": tls})]})


SPKI = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
FILES = {"serverCertificate": "/a.pem", "privateKey": "/a.key"}


@pytest.mark.parametrize(
    "tls",
    [
        {"mode": "SIMPLE", "credentialName": "web"},
        {"mode": "SIMPLE", "credentialName": "kubernetes://web", "cipherSuites": ["fake"], "ecdhCurves": ["P-256"]},
        {"mode": "SIMPLE", "credentialNames": ["one", "two"], "minProtocolVersion": "TLSV1_2"},
        {"mode": "SIMPLE", "tlsCertificates": [FILES]},
        {"mode": "MUTUAL", **FILES, "caCertificates": "/ca.pem", "caCrl": "/crl.pem"},
        {
            "mode": "MUTUAL",
            "credentialName": "web",
            "verifyCertificateSpki": [SPKI],
            "verifyCertificateHash": ["ab" * 32],
        },
        {"mode": "OPTIONAL_MUTUAL", "credentialName": "web", "caCertCredentialName": "clients"},
        {"mode": "ISTIO_MUTUAL"},
        {"mode": "PASSTHROUGH"},
        {},
    ],
)
def test_what_istio_takes_is_taken(tls):
    assert said(gateway(tls)) == {}


@pytest.mark.parametrize(
    ("tls", "where", "complaint"),
    [
        (None, "tls", "is needed for protocol HTTPS"),
        ({"mode": "SIMPLE"}, "tls.credentialName", "is needed for mode SIMPLE"),
        ({"mode": "SIMPLE", "serverCertificate": "/a"}, "tls.privateKey", "is needed beside the other"),
        ({"mode": "SIMPLE", **FILES, "privateKey": "a.key"}, "tls.privateKey", "is not an absolute path"),
        ({"mode": "MUTUAL", **FILES}, "tls.caCertificates", "is needed for mode MUTUAL"),
        ({"mode": "SIMPLE", **FILES, "credentialName": "a"}, "tls", "has more than one source of certificates"),
        ({"mode": "ISTIO_MUTUAL", "credentialName": "a"}, "tls.credentialName", "does not go with ISTIO_MUTUAL"),
        ({"mode": "MUTUAL", "credentialName": "a", "caCrl": "/a"}, "tls.caCrl", "put it into the Secret"),
        ({"mode": "SIMPLE", **FILES, "caCrl": "/a"}, "tls.caCrl", "means nothing in mode SIMPLE"),
        (
            {"mode": "MUTUAL", "credentialName": "a", "verifyCertificateSpki": ["x"]},
            "tls.verifyCertificateSpki[0]",
            "SHA-256",
        ),
        (
            {"mode": "MUTUAL", "credentialName": "a", "verifyCertificateHash": ["x"]},
            "tls.verifyCertificateHash[0]",
            "SHA-256",
        ),
        ({"mode": "SIMPLE", "credentialName": "A b"}, "tls.credentialName", "is not the name of a Secret"),
        ({"mode": "SIMPLE", "credentialNames": ["a", "a"]}, "tls.credentialNames[1]", "is there twice"),
        (
            {"mode": "SIMPLE", "credentialName": "a", "minProtocolVersion": "TLSV1_3", "maxProtocolVersion": "TLSV1_2"},
            "tls.minProtocolVersion",
            "is above maxProtocolVersion",
        ),
    ],
)
def test_what_cannot_work_is_refused_by_its_name(tls, where, complaint):
    assert complaint in said(gateway(tls))[f"spec.servers[0].{where}"]


@pytest.mark.parametrize(
    ("fields", "where", "complaint"),
    [
        ({"tls": {"mode": "SIMPLE", "credentialName": "a"}, "protocol": "HTTP"}, "tls", "but for httpsRedirect"),
        ({"tls": {"mode": "PASSTHROUGH"}, "protocol": "TCP"}, "tls", "does not go with protocol TCP"),
        ({"bind": "unix:///a", "tls": {}}, "bind", "would take a socket from each other"),
        ({"hosts": ["*-a.example.com"], "tls": {}}, "hosts[0]", "for a part of a label; write *. before a domain"),
        ({"bind": "a.example.com", "tls": {}}, "bind", "is not an IP address"),
        ({"protocol": "UDP"}, "port.protocol", "must be one of"),
    ],
)
def test_a_server_s_parts_go_together(fields, where, complaint):
    assert complaint in said(gateway(**fields))[f"spec.servers[0].{where}"]


def test_a_port_of_a_gateway_leads_nowhere_by_itself():
    port = {"number": 80, "name": "main", "protocol": "HTTP", "targetPort": 8080}
    found = said(manifest("Gateway", "web", {"servers": [{"port": port, "hosts": ["*"]}]}))
    assert "means nothing at a Gateway" in found["spec.servers[0].port.targetPort"]


def test_a_default_endpoint_is_ignored_as_by_istio():
    assert "defaultEndpoint" not in parse(gateway({}, defaultEndpoint="127.0.0.1:80")).manifest["spec"]["servers"][0]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (("fake", "AES128-SHA", "AES128-SHA"), ("AES128-SHA",)),
        (("[AES128-SHA|fake]", "[AES128-SHA|AES256-SHA]"), ("AES128-SHA", "AES256-SHA")),
        (("AES128-SHA", "AES256-SHA", "+AES128-SHA"), ("AES256-SHA", "AES128-SHA")),
        (("AES128-SHA", "-ALL", "AES256-SHA"), ("AES256-SHA",)),
        (("!AES128-SHA", "AES128-SHA", "AES256-SHA"), ("AES256-SHA",)),
        (("ALL", "!DES-CBC3-SHA"), CIPHER_SUITES[:-1]),
        (("fake",), ()),
    ],
)
def test_the_cipher_suites_that_are_meant_are_taken_and_no_others(written, meant):
    assert known_cipher_suites(written) == meant
