"""Which loopback addresses belong to one server's workloads."""

from __future__ import annotations

import errno
import json
import socket
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

FIRST_NETWORK, LAST_NETWORK = 64, 127
"""127.64.0.0/16 to 127.127.0.0/16 are ours to share; below them other programs have their habits."""
REST_S = 3600
"""An address that a workload gave back is given to no other for this long."""


class NoAddressError(Exception):
    """There is nothing left to give."""


class AddressPlan:
    """A /16 of the loopback network that no other server on this host uses, shared out to workloads.

    The network is kept in the data directory and taken again after a restart. The claim on it is an
    abstract Unix socket, which has the same scope as the loopback network itself and ends with the
    process; a network where somebody still listens (the proxies of a killed server) is not free either.
    """

    def __init__(self, data_dir: Path, clock_ms: Callable[[], int]) -> None:
        self._path = data_dir / "addresses.json"
        self._clock_ms = clock_ms
        kept = _read(self._path)
        self._claim, network = _claim_network(kept.get("network"))
        same = network == kept.get("network")
        self._network = network
        self._taken: dict[str, tuple[int, int]] = (
            {key: (host, freed) for key, host, freed in kept["taken"]} if same else {}
        )
        self._write()

    @property
    def server(self) -> str:
        """The server's own address, ``127.x.0.1``."""
        return self._address(1)

    def take(self, key: str) -> str:
        """Give an instance its address: the one it has, had within the last hour, or a new one."""
        self._forget_rested()
        host = self._taken[key][0] if key in self._taken else self._free_host()
        if self._taken.get(key) != (host, 0):
            self._taken[key] = (host, 0)
            self._write()
        return self._address(host)

    def give_back(self, key: str) -> None:
        """Let the address of an instance that is gone rest before another one gets it."""
        host, freed_ms = self._taken.get(key, (0, 0))
        if host and not freed_ms:
            self._taken[key] = (host, self._clock_ms())
            self._write()

    def close(self) -> None:
        """Give up the claim on the network."""
        self._claim.close()

    def _address(self, host: int) -> str:
        return f"127.{self._network}.{host >> 8}.{host & 255}"

    def _free_host(self) -> int:
        used = {host for host, _ in self._taken.values()}
        # .0.x is the server's, and the last octets 0 and 255 look like mistakes to people.
        free = (host for host in range(257, 0xFFFF) if 0 < host & 255 < 255 and host not in used)
        host = next(free, 0)
        if not host:
            raise NoAddressError(f"all addresses of 127.{self._network}.0.0/16 are taken or resting; wait an hour")
        return host

    def _forget_rested(self) -> None:
        rested_ms = self._clock_ms() - REST_S * 1000
        self._taken = {key: entry for key, entry in self._taken.items() if not 0 < entry[1] <= rested_ms}

    def _write(self) -> None:
        taken = [(key, host, freed) for key, (host, freed) in self._taken.items()]
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps({"network": self._network, "taken": taken}))
        fresh.replace(self._path)


def _read(path: Path) -> dict[str, Any]:
    try:
        kept: dict[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        # Lost, never half-written: losing it only means that addresses are given out afresh.
        return {"network": None, "taken": []}
    return kept


def _claim_network(kept: int | None) -> tuple[socket.socket, int]:
    busy = set(_networks_listened_on())
    fresh = [number for number in range(FIRST_NETWORK, LAST_NETWORK + 1) if number not in busy]
    for number in ([kept] if kept else []) + fresh:
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            claim.bind(f"\0meshscope/127.{number}")
        except OSError as error:
            claim.close()
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return claim, number
    raise NoAddressError(
        f"127.{FIRST_NETWORK}.0.0/16 to 127.{LAST_NETWORK}.0.0/16 are all in use by other servers; stop one of them"
    )


def _networks_listened_on() -> Iterator[int]:
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        address = IPv4Address(bytes.fromhex(local.partition(":")[0])[::-1])
        if state == "0A" and address.packed[0] == 127:  # 0A: LISTEN
            yield address.packed[1]
