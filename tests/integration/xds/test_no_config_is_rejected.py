"""Whatever ``apply`` accepts, Envoy accepts: searched for with generated configs.

``SOAK=1`` searches for longer.
"""

import base64
import datetime as dt
import os
import random
from contextlib import suppress

import pytest
from any_config import Maker
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from xds_mesh import Mesh

from mesh_runtime.api import ConfigError, dump, load
from mesh_runtime.store.port import Change

EXAMPLES = 2000 if os.environ.get("SOAK") else 50
PATIENCE_S = 15
NAMES = {
    "host": ("catalog", "db", "catalog.shop.svc.cluster.local", "pay.example.com"),
    "hosts": ("catalog", "db", "pay.example.com", "*.example.com", "shop/*"),
    "sni_hosts": ("pay.example.com", "*.example.com"),
    "subset": ("v1", "v2"),
    "gateways": ("mesh", "one", "shop/one"),
    "credential_name": ("web-cert", "missing"),
    "selector": ("app", "ingress"),
    "match_labels": ("app", "catalog"),
    "labels": ("app", "catalog"),
    "source_labels": ("app", "catalog"),
    "jwks": ('{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}',),
}
WORLD = """
apiVersion: v1
kind: Service
metadata: {name: catalog, namespace: shop}
spec:
  selector: {app: catalog}
  ports: [{name: http, port: 80, targetPort: http}, {name: grpc, port: 81, targetPort: http}, {name: main, port: 82, targetPort: http}]
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {selector: {app: db}, ports: [{name: tcp, port: 6379, targetPort: tcp}, {name: tls, port: 443, targetPort: tcp}]}
---
apiVersion: v1
kind: Service
metadata: {name: peers, namespace: shop}
spec: {clusterIP: None, selector: {app: catalog}, ports: [{name: http, port: 80, targetPort: http}]}
"""

pytestmark = [pytest.mark.soak, pytest.mark.timeout(120 + EXAMPLES * 2)]


def certificate():
    """A Secret with a key pair of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "pay.example.com")])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = signed.public_bytes(serialization.Encoding.PEM)
    files = {"tls.crt": public, "tls.key": private, "ca.crt": public}
    lines = "".join(f"  {name}: {base64.b64encode(content).decode()}\n" for name, content in files.items())
    return f"---\napiVersion: v1\nkind: Secret\nmetadata: {{name: web-cert, namespace: shop}}\ntype: kubernetes.io/tls\ndata:\n{lines}"


@pytest.fixture
async def mesh():
    running = Mesh()
    await running.start(WORLD + certificate())
    await running.workload("catalog", "v1")
    await running.workload("db", protocol="tcp")
    await running.gateway("ingress", istio="ingressgateway", app="ingress")
    yield running
    await running.close()


async def replaced(mesh, base, objects):
    """Make *objects* all the config there is beside *base*; returns what proxies say against it."""
    keep = {item.key for item in (*base, *objects)}
    gone = tuple(key for key in mesh.store.current.objects if key not in keep)
    revision = await mesh.store.commit(Change(put=tuple(objects), delete=gone))
    settled = await mesh.control.settled(revision.number, PATIENCE_S)
    return dict(settled.rejected) or dict.fromkeys(settled.waiting, "does not answer")


async def smallest(mesh, base, objects):
    """Leave out whatever is not needed for the proxies to complain."""
    for item in objects:
        fewer = tuple(one for one in objects if one is not item)
        with suppress(ConfigError):  # the others need it
            if await replaced(mesh, base, fewer):
                return await smallest(mesh, base, fewer)
    return objects


async def test_whatever_is_admitted_every_proxy_accepts(mesh):
    base = tuple(mesh.store.current.objects.values())
    for seed in range(EXAMPLES):
        objects = Maker(random.Random(seed), NAMES).config(base)
        complaints = await replaced(mesh, base, objects)
        if complaints:
            guilty = await smallest(mesh, base, objects)
            reasons = "\n".join(f"{name}: {why[-500:]}" for name, why in complaints.items())
            pytest.fail(f"seed {seed}: {reasons}\n{dump(guilty)}")


def test_the_generator_reaches_every_kind_and_most_fields():
    base = load(WORLD)
    made = [item for seed in range(60) for item in Maker(random.Random(seed), NAMES).config(base)]
    kinds = {item.key.kind for item in made}
    assert {"VirtualService", "DestinationRule", "ServiceEntry", "Gateway", "PeerAuthentication"} <= kinds
    assert len(made) > 120
