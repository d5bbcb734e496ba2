"""Applications of every protocol for tests: each starts on a free loopback port and ends with the mesh."""

import asyncio

import grpc
from aiohttp import WSMsgType, web
from own_ca import OwnCA

AUTHORITY = OwnCA()
PREFACE = b"PRI * HTTP/2.0"


async def serve_tcp(mesh, handler, **options):
    """Serve every connection by the handler; return the port."""
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

    return await serve_tcp(mesh, answer)


async def free_grpc_server(mesh):
    """Answer ``/rates/ok`` with what was sent, ``/rates/count`` with three messages, ``/rates/missing`` with an error."""

    async def fine(request, _context):
        return request

    async def count(_request, _context):
        for number in (b"1", b"2", b"3"):
            yield number

    async def missing(_request, context):
        await context.abort(grpc.StatusCode.NOT_FOUND, "no such rate")

    server = grpc.aio.server()
    handlers = {
        "ok": grpc.unary_unary_rpc_method_handler(fine),
        "count": grpc.unary_stream_rpc_method_handler(count),
        "missing": grpc.unary_unary_rpc_method_handler(missing),
    }
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

        return await serve_tcp(mesh, greet, ssl=AUTHORITY.server(AUTHORITY.issue(name)))

    return start
