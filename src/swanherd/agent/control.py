"""The agent's local socket, by which swanherdctl asks a live agent what it sees and plans.

One request a connection: a line of JSON `{"command": …, "router": …}`; one JSON document back.
Only root and the agent's own user reach it (directory 0700, socket 0600).
"""

from __future__ import annotations

import dataclasses
import enum
import json
import logging
import os
import socketserver
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from swanherd.core.failures import Failure
from swanherd.core.model import Secret

LOG = logging.getLogger(__name__)

Answer = Callable[[Mapping[str, Any]], Any]

# How long `stop` may take, in seconds.
_POLL = 0.1


def plain(value: Any) -> Any:
    """Return the value as JSON types for people to read; secrets become a placeholder."""
    if isinstance(value, Secret):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"kind": type(value).__name__, **fields}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, frozenset | set):
        return sorted((plain(item) for item in value), key=str)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def __init__(self, path: str, commands: Mapping[str, Answer]) -> None:
        self.commands = commands
        super().__init__(path, _Handler)


class _Handler(socketserver.StreamRequestHandler):
    server: _Server
    timeout = 30

    def handle(self) -> None:
        try:
            request = json.loads(self.rfile.readline(65536))
            answer = self.server.commands[request["command"]](request)
            document: Any = {"ok": True, "result": plain(answer)}
        except Failure as failure:
            document = {"ok": False, "error": str(failure)}
        except (KeyError, TypeError, ValueError) as error:
            document = {"ok": False, "error": f"not a request that I know: {error}"}
        self.wfile.write(json.dumps(document).encode())


def serve(path: Path, commands: Mapping[str, Answer]) -> Callable[[], None]:
    """Answer on the socket from a thread; returns what stops it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    mask = os.umask(0o177)
    try:
        server = _Server(str(path), commands)
    finally:
        os.umask(mask)
    end = serving(server, "control")

    def stop() -> None:
        end()
        path.unlink(missing_ok=True)

    return stop


def serving(server: socketserver.TCPServer, name: str) -> Callable[[], None]:
    """Let a server that has a thread for each request serve from a thread; returns what stops it.

    `serve_forever` polls as the machine does, which holds all of a process up whose threads are
    eventlet's (the L3 agents of Neutron 24 and 26).
    """
    over = threading.Event()
    server.socket.settimeout(_POLL)

    def accept() -> None:
        while not over.is_set():
            try:
                request, client = server.get_request()
            except TimeoutError:
                continue
            except OSError:  # no descriptor is free
                over.wait(_POLL)
                continue
            try:
                server.process_request(request, client)
            except (OSError, RuntimeError):  # no thread can be had
                server.handle_error(request, client)
                server.shutdown_request(request)

    thread = threading.Thread(target=accept, name=name, daemon=True)
    thread.start()

    def stop() -> None:
        over.set()
        thread.join()
        server.server_close()

    return stop
