"""A certificate authority for tests: certificates for hosts and clients, and the Secrets that carry them."""

import base64
import ipaddress
import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID


@cache
def rsa_key(bits=2048):
    return rsa.generate_private_key(65537, bits)


def key_pem(key):
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def _name(common):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _alternative(name):
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class Pair:
    """A certificate and its key, as PEM."""

    def __init__(self, certificate, key):
        self.certificate = certificate
        self.pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
        self.key_pem = key_pem(key)

    @property
    def serial(self):
        return f"{self.certificate.serial_number:X}"


class OwnCA:
    """Issues certificates. ``pem`` is its own."""

    def __init__(self, name="test authority"):
        self._name = _name(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._sign(self._name, self._key.public_key(), (), authority=True)
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def _sign(self, name, public_key, alternatives, *, authority=False, days=1):
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=2))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if alternatives:
            names = x509.SubjectAlternativeName([_alternative(one) for one in alternatives])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def issue(self, *hosts, key=None, days=1):
        """A certificate for these hosts (or URIs); the first is its common name."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        return Pair(self._sign(_name(hosts[0]), key.public_key(), hosts, days=days), key)

    def revoke(self, *pairs):
        """A list of revoked certificates, as PEM."""
        now = datetime.now(UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._name)
            .last_update(now - timedelta(days=1))
            .next_update(now + timedelta(days=1))
        )
        for pair in pairs:
            serial = pair.certificate.serial_number
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now - timedelta(days=1))
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    def client(self, pair=None, *, alpn=(), version=None):
        """A client's TLS context that trusts this authority, with a certificate of its own if given."""
        context = ssl.create_default_context(cadata=self.pem)
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if version:
            context.minimum_version = context.maximum_version = version
        if pair:
            load(context, pair)
        return context

    def server(self, pair, *, clients=None):
        """A server's TLS context; with *clients* (an authority) it wants a certificate from them."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        load(context, pair)
        if clients:
            context.load_verify_locations(cadata=clients.pem)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def load(context, pair):
    """Give a context a certificate: only from a file, which is gone afterwards."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "pair.pem"
        path.write_text(pair.pem + pair.key_pem)
        context.load_cert_chain(path)


def secret(name, data, *, namespace="shop", type_="Opaque"):
    """A Secret manifest as YAML, of values that are not encoded yet."""
    encoded = "".join(f"  {key}: {base64.b64encode(value.encode()).decode()}\n" for key, value in data.items())
    metadata = f"{{name: {name}, namespace: {namespace}}}"
    return f"apiVersion: v1\nkind: Secret\nmetadata: {metadata}\ntype: {type_}\ndata:\n{encoded}"


def tls_secret(name, pair, *, authority=None, namespace="shop", **more):
    """The Secret of a server's certificate, with the authority of its clients if given."""
    data = {"tls.crt": pair.pem, "tls.key": pair.key_pem} | ({"ca.crt": authority.pem} if authority else {}) | more
    return secret(name, data, namespace=namespace, type_="kubernetes.io/tls" if not authority else "Opaque")


def files(folder, authority):
    """Paths that proxies can read, by config's fields: what is in a file, or whether it is there, no mesh can know."""
    pair = authority.issue("pay.example.com")
    contents = {
        "tls.crt": pair.pem,
        "tls.key": pair.key_pem,
        "ca.crt": authority.pem,
        "crl.pem": authority.revoke(),
    }
    for name, content in contents.items():
        (folder / name).write_text(content)
    paths = {name: (str(folder / name),) for name in contents}
    certificates = dict.fromkeys(("server_certificate", "client_certificate"), paths["tls.crt"])
    trusted = {"ca_certificates": paths["ca.crt"], "ca_crl": paths["crl.pem"]}
    return {**certificates, **trusted, "private_key": paths["tls.key"]}
