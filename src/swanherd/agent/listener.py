"""HTTP for Prometheus and for probes: /metrics, /livez, /readyz, and /healthz that has it all.

Only GET, nothing of a request is read but its path, and few at once.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import socket
import socketserver
import stat
import sys
import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from swanherd.agent.control import plain, serving
from swanherd.agent.exposition import Page
from swanherd.agent.life import Life
from swanherd.agent.monitor import Monitor
from swanherd.core.failures import Temporary
from swanherd.core.health import Health
from swanherd.core.model import Reason, RouterId

LOG = logging.getLogger(__name__)

EVERY_ROUTER = RouterId("-")

# How many requests are answered at once; what is more is refused at once.
_AT_ONCE = 4
# Seconds for a request's lines.
_PATIENCE = 5
# Seconds after which an address is tried again that couldn't be had.
_RETRY = 30.0

_JSON = "application/json"
_PATHS = b"/metrics /livez /readyz /healthz\n"

Metrics = Callable[[], Iterable[bytes]]
Vitality = Callable[[], Health]


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: a path of a unix socket if there is one, else address and port."""

    host: str
    port: int
    path: str = ""

    def __str__(self) -> str:
        """Return it for people."""
        return self.path or (f"[{self.host}]" if ":" in self.host else self.host) + f":{self.port}"


class _Server(socketserver.ThreadingMixIn, HTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: Address, metrics: Metrics, health: Vitality) -> None:
        self.metrics = metrics
        self.health = health
        self.busy = 0
        self._lock = threading.Lock()
        self._path = address.path
        if address.path:
            self.address_family = socket.AF_UNIX
            _remove_socket(address.path)
            where: Any = address.path
        else:
            self.address_family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
            where = (address.host, address.port)
        super().__init__(where, _Handler)

    def server_bind(self) -> None:
        """Bind without asking DNS for the host's name, as HTTPServer does."""
        if not self._path:
            socketserver.TCPServer.server_bind(self)
            return
        mask = os.umask(0o117)  # for the user and the group
        try:
            socketserver.TCPServer.server_bind(self)
        finally:
            os.umask(mask)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            full = self.busy >= _AT_ONCE
            self.busy += not full
        if full:
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self.busy -= 1

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asked has gone, above all; what we did wrong is worth a line."""
        LOG.warning("A request for metrics or health broke: %r", sys.exception())


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _PATIENCE
    server_version = "swanherd"
    sys_version = ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._answer(HTTPStatus.OK, Page.content_type, self.server.metrics())
        elif path in ("/livez", "/readyz", "/healthz"):
            health = self.server.health()
            good = health.alive if path == "/livez" else health.ready
            status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
            self._answer(status, _JSON, [json.dumps(plain(health)).encode()])
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", [_PATHS])

    def _answer(self, status: HTTPStatus, kind: str, parts: Iterable[bytes]) -> None:
        """Answer and close: that ends the body (HTTP/1.0, RFC 1945 §7.2.2)."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.end_headers()
        for part in parts:
            self.wfile.write(part)

    def address_string(self) -> str:
        """Return nothing: of a unix socket there is no address."""
        return ""

    def log_message(self, *_: Any) -> None:
        """Keep each scrape out of the log."""


class Listener:
    """Listens as long as it can: what holds the address now may be gone at the next try."""

    def __init__(self, address: Address, metrics: Metrics, health: Vitality) -> None:
        self._address = address
        self._metrics = metrics
        self._health = health
        self._lock = threading.Lock()
        self._server: _Server | None = None
        self._end: Callable[[], None] = lambda: None
        self._closed = False

    def ensure(self) -> None:
        """Listen, if that isn't so; Temporary if the address can't be had now."""
        with self._lock:
            if self._server is not None or self._closed:
                return
            try:
                self._server = _Server(self._address, self._metrics, self._health)
            except OSError as error:
                text = f"Metrics can't be served at {self._address}: {error.strerror or error}."
                hint = "Choose another address or port in [metrics]."
                raise Temporary(EVERY_ROUTER, Reason("metrics_unserved", text, hint)) from error
            self._end = serving(self._server, "metrics")
        LOG.info("Metrics and health are served at %s", self._address)

    @property
    def port(self) -> int:
        """The port that it listens on; 0 if it doesn't."""
        with self._lock:
            return 0 if self._server is None else int(self._server.server_address[1])

    @property
    def busy(self) -> int:
        """How many requests are being answered."""
        with self._lock:
            return 0 if self._server is None else self._server.busy

    def stop(self) -> None:
        """Stop listening, for good."""
        with self._lock:
            server, self._server, self._closed = self._server, None, True
        if server is not None:
            self._end()
            if self._address.path:
                Path(self._address.path).unlink(missing_ok=True)


def _remove_socket(path: str) -> None:
    """Remove what an earlier process left; anything but a socket stays, and is in the way."""
    try:
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            os.unlink(path)
    except FileNotFoundError:
        pass


def listening(options: Any, monitor: Monitor, life: Life) -> Callable[[], None]:
    """Serve as `[metrics]` says, from now on or as soon as that can be; returns what stops it."""
    if not options.enabled:
        return lambda: None
    address = Address(options.address, options.port, options.socket)
    listener = Listener(address, Page(monitor.metrics).parts, monitor.health)
    life.every(_RETRY, listener.ensure, "metrics-listener")
    return listener.stop
