"""The fastest HTTP answer that pure Python gives: what a proxy's own latency is measured against."""

import asyncio
import os
import sys

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Flat(asyncio.Protocol):
    def connection_made(self, transport):
        self._transport = transport

    def data_received(self, data):
        self._transport.write(ANSWER * data.count(b"\r\n\r\n"))


async def main(port):
    server = await asyncio.get_running_loop().create_server(Flat, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1] if len(sys.argv) > 1 else os.environ["PORT"])))
