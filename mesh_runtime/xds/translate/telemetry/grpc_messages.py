"""How many messages a gRPC call has in each direction, for telemetry.

Envoy counts them, but tells the two numbers as one text, of which access logs can make nothing. A script beside
the counting takes them apart whenever an answer goes on, so that a stream which is cancelled is counted, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mesh_runtime.api.protocols import HTTP2, Protocol
from mesh_runtime.xds.protos import any_of
from mesh_runtime.xds.snapshot import Envoy
from mesh_runtime.xds.translate.world import World

OWN: Final = "meshscope."
"""How names of filters begin that Istio's proxies do not have: a patch for all filters does not mean them."""
_COUNTING: Final = "envoy.filters.http.grpc_stats"
_TELLING: Final = f"{OWN}grpc_messages"
FILTERS: Final = (_TELLING, _COUNTING)
"""The names of :func:`message_filters`."""
_SCRIPT: Final = f"""
local function tell(handle)
  local info = handle:streamInfo()
  local counted = info:filterState():get("{_COUNTING}")
  if counted then
    local sent, received = counted:match("(%d+),(%d+)")
    info:dynamicMetadata():set("{_TELLING}", "request", tonumber(sent))
    info:dynamicMetadata():set("{_TELLING}", "response", tonumber(received))
  end
end

function envoy_on_response(handle)
  local kind = handle:headers():get("content-type") or ""
  if kind:sub(1, 16) ~= "application/grpc" then
    return
  end
  for _ in handle:bodyChunks() do
    tell(handle)
  end
  handle:trailers()
  tell(handle)
end
"""


def is_counted(protocol: Protocol) -> bool:
    """Tell whether gRPC may be spoken at a port, so that its virtual host turns the counting on."""
    return protocol in HTTP2 or protocol == "auto"


def callers_filters(world: World) -> tuple[Envoy, ...]:
    """Return :func:`message_filters` for listeners of calls to any service, if one of them may be called by gRPC.

    A script costs each listener 200 kB.
    """

    def needed() -> bool:
        return any(is_counted(port.protocol) for service in world.every_service for port in service.ports)

    return tuple(message_filters()) if world.once("may be called by gRPC", needed) else ()


def message_filters() -> Iterator[Envoy]:
    """Yield the HTTP filters that count, and tell the numbers to what comes after the call."""
    script = any_of("envoy.extensions.filters.http.lua.v3.Lua", default_source_code={"inline_string": _SCRIPT})
    counting = any_of("envoy.extensions.filters.http.grpc_stats.v3.FilterConfig", emit_filter_state=True)
    # Answers pass the filters from the last to the first: what is told has been counted.
    yield {"name": _TELLING, "typed_config": script}
    yield {"name": _COUNTING, "typed_config": counting}


def messages(way: str) -> str:
    """Return the format of a call's number of messages, of its ``request`` or ``response``."""
    return f"%DYNAMIC_METADATA({_TELLING}:{way})%"
