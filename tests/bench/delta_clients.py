"""Many proxies in one process: each keeps a delta stream of its own, asks as Envoy asks, and acknowledges everything.

``python -m tests.bench.delta_clients SOCKET`` with one ``NODE TOKEN`` per line on standard input; it prints a line
when all of them have been given everything, and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import gc
import sys

import grpc

from mesh_runtime.xds import protos
from mesh_runtime.xds.server import TOKEN_KEY
from mesh_runtime.xds.snapshot import KIND_OF_TYPE, Kind
from mesh_runtime.xds.translate.routing.routes import OUTBOUND_ROUTES
from mesh_runtime.xds.translate.tls import LEAF, ROOT

DELTA = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"


class Client:
    """One proxy: clusters and listeners whole, then what they name."""

    def __init__(self, node_id: str, stream) -> None:
        self.node_id = node_id
        self.stream = stream
        self.named: set[str] = set()
        self.complete = asyncio.Event()

    async def run(self) -> None:
        await self.ask(Kind.CDS, node={"id": self.node_id})
        await self.ask(Kind.LDS)
        while (response := await self.stream.read()) is not grpc.aio.EOF:
            kind = KIND_OF_TYPE[response.type_url]
            await self.ask(kind, response_nonce=response.nonce)
            if kind is Kind.CDS:
                await self.ask_for_endpoints(response)
            elif kind is Kind.LDS and not self.complete.is_set():
                await self.ask(Kind.SDS, resource_names_subscribe=[LEAF, ROOT])
                await self.ask(Kind.RDS, resource_names_subscribe=[OUTBOUND_ROUTES])
            elif kind is Kind.RDS and not self.complete.is_set():
                await self.ask(Kind.VHDS, resource_names_subscribe=[OUTBOUND_ROUTES])
            elif kind is Kind.VHDS:
                self.complete.set()

    async def ask_for_endpoints(self, response) -> None:
        new = {one.name for one in response.resources if one.name.startswith("outbound|")} - self.named
        self.named |= new
        if new:
            await self.ask(Kind.EDS, resource_names_subscribe=sorted(new))

    async def ask(self, kind: Kind, **fields) -> None:
        await self.stream.write(protos.message(protos.DELTA_REQUEST, {"type_url": kind.type_url, **fields}))


async def main(socket: str) -> None:
    async with asyncio.TaskGroup() as group, grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        opened = channel.stream_stream(
            DELTA,
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=protos.message_class(protos.DELTA_RESPONSE).FromString,
        )
        clients = []
        for line in iter(sys.stdin.readline, "\n"):
            node_id, token = line.split()
            clients.append(Client(node_id, opened(metadata=((TOKEN_KEY, token),))))
        tasks = [group.create_task(client.run()) for client in clients]
        for client in clients:
            await client.complete.wait()
        gc.freeze()
        print("complete", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        for task in tasks:
            task.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
