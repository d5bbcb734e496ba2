"""Applications of every protocol for tests: each starts on a free loopback port and ends with the mesh."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta

import grpc
from aiohttp import WSMsgType, web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

PREFACE = b"PRI * HTTP/2.0"


async def _serve(mesh, handler, **options):
    server = await asyncio.start_server(handler, "127.0.0.1", 0, **options)
    mesh.stack.callback(server.close)
    return server.sockets[0].getsockname()[1]


async def free_mixed_server(mesh):
    """Answer requests, and send back all other bytes."""

    async def answer(reader, writer):
        while data := await reader.read(65536):
            line = data.split(b"\r\n")[0]
            if line.endswith(b"HTTP/1.1"):
                said = b" ".join(line.split()[:2])
                data = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(said), said)
            writer.write(data)
            await writer.drain()
        writer.close()

    return await _serve(mesh, answer)


async def free_grpc_server(mesh):
    """Answer ``/rates/ok`` with what was sent."""

    async def fine(request, _context):
        return request

    server = grpc.aio.server()
    handlers = {"ok": grpc.unary_unary_rpc_method_handler(fine)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("rates", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    mesh.stack.push_async_callback(server.stop, None)
    return port


async def free_websocket_server(mesh):
    """Send back what is said, louder."""

    async def talk(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_str(message.data.upper())
        return socket

    app = web.Application()
    app.router.add_get("/", talk)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    mesh.stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner.addresses[0][1]


def free_tls_server(name):
    """Return what starts a server that says its name to whoever comes by TLS."""

    async def start(mesh):
        async def greet(_reader, writer):
            writer.write(f"{name}\n".encode())
            await writer.drain()
            writer.close()

        return await _serve(mesh, greet, ssl=_own_certificate(mesh, name))

    return start


def _own_certificate(mesh, name):
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path = mesh.dir / f"{name}.server.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context
