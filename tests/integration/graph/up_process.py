"""``meshscope up`` as a process of its own, spoken to as a user would."""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager

import requests

MESHSCOPE = (sys.executable, "-m", "console")
PORTS = ("--port", "0", "--otlp-grpc-port", "0", "--otlp-http-port", "0")


class Server:
    """A running server's API and receivers."""

    def __init__(self, data, said):
        self.data, self.url, self.otlp = data, said["url"], said["otlp_http"]

    def get(self, path, **query):
        answer = requests.get(f"{self.url}/api/{path}", params=query, timeout=60)
        assert answer.ok, answer.text
        return answer.json()

    def nodes(self, kind="service"):
        return {node["id"]: node for node in self.get("v1/graph", type=kind)["nodes"]}

    def edges(self, kind="workload", **query):
        return {edge["id"]: edge for edge in self.get("v1/graph", type=kind, **query)["edges"]}

    def apply(self, manifests):
        """Apply with the command line."""
        command = [*MESHSCOPE, "apply", "-f", "-", "--data", self.data]
        subprocess.run(command, input=manifests, check=True, text=True, capture_output=True, timeout=60)

    def send(self, spans):
        """Send an OTLP request as a program does."""
        headers = {"content-type": "application/x-protobuf"}
        assert requests.post(f"{self.otlp}/v1/traces", data=spans, headers=headers, timeout=60).ok


@contextmanager
def up(folder, *options, settings=""):
    """Run a server with a data directory and a settings file in this folder."""
    file = folder / "meshscope.toml"
    file.write_text(settings)
    command = [*MESHSCOPE, "up", "--data", folder / "data", "--settings", file, *PORTS, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        try:
            yield Server(folder / "data", json.loads(process.stdout.readline().removeprefix("READY")))
        finally:
            process.terminate()


def until(found, timeout_s=60, tell=lambda: ""):
    """Wait for what is looked for, which is returned; *tell* says how things are when it does not come."""
    deadline = time.monotonic() + timeout_s
    while not (result := found()):
        assert time.monotonic() < deadline, f"not within {timeout_s} s\n{tell()}"
        time.sleep(0.1)
    return result
