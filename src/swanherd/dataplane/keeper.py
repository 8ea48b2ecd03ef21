"""Who makes namespaces where the agent may not: a process of its own, asked by a unix socket.

A namespace that is to outlive its container must be mounted on the node, and in a container only a
privileged process can do that. One request a connection: a line of JSON; one JSON document back.
"""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import socketserver
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swanherd.dataplane.guards import Iptables, Nft
from swanherd.dataplane.privileged import namespaces

# Nothing else than our own namespaces is made or removed, whoever asks.
_OURS = re.compile(r"qvpn-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# A guard that lets nothing pass, by the firewall whose words it is in.
_CLOSED = {guard.kind: guard.closed() for guard in (Nft(), Iptables())}
_LIMIT = 1 << 20  # bytes of a request
_PATIENCE = 30.0


class Keeper:
    """Asks the keeper at a path; whatever fails raises OSError, as in `privileged`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def make(self, namespace: str, firewall: str, closed: Mapping[int, str]) -> None:
        """Make the namespace, or bring one that is there to its shape; idempotent.

        The keeper has the guard's words itself: it runs none of anybody else's.
        """
        self._ask({"make": namespace, "firewall": firewall})

    def delete(self, namespace: str) -> None:
        """Remove the namespace's name; idempotent."""
        self._ask({"delete": namespace})

    def _ask(self, request: Mapping[str, Any]) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(_PATIENCE)
            link.connect(str(self._path))
            link.sendall(json.dumps(request).encode() + b"\n")
            answer = b"".join(iter(lambda: link.recv(65536), b""))
        if not answer:
            raise OSError(errno.EIO, "the keeper of namespaces didn't answer")
        document = json.loads(answer)
        if document["errno"]:
            raise OSError(document["errno"], document["error"])


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Answers at the path, which only its owner reaches."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        mask = os.umask(0o177)
        try:
            super().__init__(str(path), _Handler)
        finally:
            os.umask(mask)


class _Handler(socketserver.StreamRequestHandler):
    timeout = _PATIENCE

    def handle(self) -> None:
        try:
            do(json.loads(self.rfile.readline(_LIMIT)))
            answer: dict[str, Any] = {"errno": 0}
        except OSError as error:
            answer = {"errno": error.errno or errno.EIO, "error": error.strerror or str(error)}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            answer = {"errno": errno.EINVAL, "error": f"not a request that I know: {error}"}
        self.wfile.write(json.dumps(answer).encode())


def do(request: Mapping[str, Any]) -> None:
    """Do what a request says; ValueError if it isn't about a namespace of ours."""
    name = request.get("make", request.get("delete"))
    if not isinstance(name, str) or not _OURS.fullmatch(name):
        raise ValueError("the name of the namespace isn't one of ours")
    if "delete" in request:
        namespaces.delete(name)
        return
    firewall = request["firewall"]
    if firewall not in _CLOSED:
        raise ValueError("there is no such firewall")
    namespaces.make(name, firewall, _CLOSED[firewall])
