"""VICI sessions: commands to each charon, and one thread that hears what all of them tell.

Nothing waits for ever: py-vici drops its socket's timeout once a message has begun, so the
transport here has its own.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import vici
from vici.exception import CommandException, DeserializationException, SessionException
from vici.protocol import Message, Packet

from swanherd import descriptors
from swanherd.core.failures import Permanent, Temporary
from swanherd.core.model import Reason, RouterId
from swanherd.swan import events
from swanherd.swan.events import Event, EventReader
from swanherd.swan.settings import Paths
from swanherd.swan.wire import read_message

LOG = logging.getLogger(__name__)

T = TypeVar("T")

# The code of a failure when nobody listens on charon's socket.
DEAF = "charon_unreachable"

_LIMIT = 10.0  # seconds for one message; measured: 0.1 s for the longest list
_LENGTH = struct.Struct("!I")

# What a broken or silent connection raises.
_BROKEN = (OSError, SessionException, DeserializationException, struct.error)


class _Transport:
    """VICI's framing (vici README: a length of four bytes, then the packet), with a limit."""

    def __init__(self, path: Path) -> None:
        self.socket = descriptors.stays(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        self.socket.settimeout(_LIMIT)
        self.heard: set[str] = set()  # the events that charon tells here
        try:
            self.socket.connect(str(path))
        except OSError:
            self.socket.close()
            raise

    def send(self, packet: bytes) -> None:
        self.socket.sendall(_LENGTH.pack(len(packet)) + packet)

    def receive(self) -> bytes:
        deadline = time.monotonic() + _LIMIT
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size, deadline))
        return self._exactly(length, deadline)

    def close(self) -> None:
        self.socket.close()

    def _exactly(self, count: int, deadline: float) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("charon takes too long")
            self.socket.settimeout(left)
            part = self.socket.recv(count - len(parts))
            if not part:
                raise ConnectionResetError("charon closed the connection")
            parts += part
        return bytes(parts)


class Commands:
    """The commands' session with one charon; safe to use from several threads."""

    def __init__(self, router_id: RouterId, path: Path) -> None:
        self._router_id = router_id
        self._path = path
        self._lock = threading.Lock()
        self._session: Any = None
        self._over = False

    def request(self, command: str, message: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return charon's answer; Temporary if there is none, Permanent if it refuses."""
        return self._do(command, lambda session: dict(session.request(command, message)))

    def stream(
        self, command: str, event: str, message: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Return all events of a list command; no other command may come between them."""
        return self._do(
            command, lambda session: _stream(session.transport, command, event, message)
        )

    def close(self) -> None:
        """Close the connection; the next command opens another."""
        with self._lock:
            self._drop()

    def end(self) -> None:
        """Close the connection for good: whoever still has this gets Temporary."""
        with self._lock:
            self._over = True
            self._drop()

    def _do(self, command: str, work: Callable[[Any], T]) -> T:
        """Do it on the open session; one that charon has closed meanwhile is opened anew."""
        with self._lock:
            was_open = self._session is not None
            try:
                return work(self._connected())
            except CommandException as error:
                # charon's sentence repeats names, and nothing that was said of a secret.
                text = str(error).removeprefix("Command failed: ")
                text = f"strongSwan refused {command}: {text}."
                reason = Reason("charon_refused", text, "The operator finds more in charon.log.")
                raise Permanent(self._router_id, reason) from error
            except _BROKEN as error:
                self._drop()
                if not (was_open and isinstance(error, ConnectionError)):
                    raise self._unreachable(error) from error
            try:
                return work(self._connected())
            except (CommandException, *_BROKEN) as error:
                self._drop()
                raise self._unreachable(error) from error

    def _connected(self) -> Any:
        if self._over:
            raise ConnectionAbortedError("it is being stopped")
        if self._session is None:
            transport = _Transport(self._path)
            self._session = vici.Session(transport.socket)
            self._session.transport = transport
        return self._session

    def _drop(self) -> None:
        if self._session is not None:
            self._session.transport.close()
            self._session = None

    def _unreachable(self, error: Exception) -> Temporary:
        text = f"strongSwan doesn't answer: {error or type(error).__name__}."
        return Temporary(self._router_id, Reason(_code(error), text))


def _code(error: Exception) -> str:
    """Tell a charon that isn't there, or is just dying, from one that takes too long."""
    return DEAF if isinstance(error, (ConnectionError, FileNotFoundError)) else "charon_silent"


def _stream(
    transport: _Transport, command: str, event: str, message: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    """Return the events that a command makes, all of them.

    charon tells them only whose command it is, so they come at no other time.
    """
    payload = None if message is None else Message.serialize(message)
    if event not in transport.heard:
        _confirmed(transport, Packet.register_event(event), event)
        transport.heard.add(event)
    transport.send(Packet.request(command, payload))
    found = []
    packet = Packet.parse(transport.receive())
    while packet.response_type == Packet.EVENT:
        found.append(read_message(packet.payload.read()))
        packet = Packet.parse(transport.receive())
    if packet.response_type != Packet.CMD_RESPONSE:
        raise SessionException(f"charon doesn't know the command {command}")
    answer = read_message(packet.payload.read())
    if answer.get("success", b"yes") != b"yes":
        raise CommandException(f"Command failed: {str(answer.get('errmsg', b''), 'utf-8')}")
    return found


def _confirmed(transport: _Transport, request: bytes, event: str) -> list[Any]:
    """Register for an event; return the events that came before the confirmation."""
    transport.send(request)
    early: list[Any] = []
    while True:
        packet = Packet.parse(transport.receive())
        if packet.response_type == Packet.EVENT_CONFIRM:
            return early
        if packet.response_type != Packet.EVENT:
            raise SessionException(f"charon doesn't know the event {event}")
        early.append(packet)


class _Ear:
    """What one charon tells: its VICI events and its error-notify records, as they come in."""

    def __init__(self, router_id: RouterId, paths: Paths) -> None:
        self.router_id = router_id
        self._reader = EventReader()
        self._buffers = {"vici": bytearray(), "notices": bytearray()}
        self._transport = _Transport(paths.vici)
        self._notices = descriptors.stays(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        try:
            self._notices.connect(str(paths.notices))
            self._notices.setblocking(False)
            self.early = tuple(e for kind in events.EVENT_TYPES for e in self._subscribe(kind))
            self._transport.socket.setblocking(False)
        except BaseException:
            self.close()
            raise

    def sockets(self) -> dict[str, socket.socket]:
        """Return the sockets to watch, by the name that `hear` takes."""
        return {"vici": self._transport.socket, "notices": self._notices}

    def hear(self, which: str) -> tuple[Event, ...] | None:
        """Read what is there; None once charon has closed the connection."""
        try:
            part = self.sockets()[which].recv(1 << 16)
        except BlockingIOError:
            return ()
        except OSError:
            return None
        if not part:
            return None
        buffer = self._buffers[which]
        buffer += part
        return self._take_packets(buffer) if which == "vici" else self._take_records(buffer)

    def close(self) -> None:
        """Close both connections."""
        self._transport.close()
        self._notices.close()

    def _subscribe(self, kind: str) -> tuple[Event, ...]:
        """Register for one kind of event; return those that came before the confirmation."""
        early = _confirmed(self._transport, Packet.register_event(kind), kind)
        return tuple(event for packet in early for event in self._read(packet))

    def _take_packets(self, buffer: bytearray) -> tuple[Event, ...]:
        heard: list[Event] = []
        while len(buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer)
            end = _LENGTH.size + length
            if len(buffer) < end:
                break
            raw = bytes(buffer[_LENGTH.size : end])
            del buffer[:end]
            if events.is_chatter(raw):
                continue
            packet = Packet.parse(raw)
            if packet.response_type == Packet.EVENT:
                heard += self._read(packet)
        return tuple(heard)

    def _take_records(self, buffer: bytearray) -> tuple[Event, ...]:
        heard: list[Event] = []
        while len(buffer) >= events.RECORD_SIZE:
            heard.append(events.parse_record(bytes(buffer[: events.RECORD_SIZE])))
            del buffer[: events.RECORD_SIZE]
        return tuple(heard)

    def _read(self, packet: Any) -> tuple[Event, ...]:
        message = read_message(packet.payload.read())
        return self._reader.read(packet.event_type.decode(), message)


class Listener:
    """One thread that hears every charon of the node.

    `on_events(router_id, events)` is called in that thread; the events are None once the
    charon has closed the connection (it died, or was stopped).
    """

    def __init__(self, on_events: Callable[[RouterId, tuple[Event, ...] | None], None]) -> None:
        self._on_events = on_events
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._ears: dict[RouterId, _Ear] = {}
        self._joining: list[_Ear] = []
        self._leaving: list[_Ear] = []
        self._wake, wakened = socket.socketpair()
        self._wake.setblocking(False)
        self._selector.register(wakened, selectors.EVENT_READ, None)
        self._wakened = wakened
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="charon-events", daemon=True)
        self._thread.start()

    def attach(self, router_id: RouterId, paths: Paths) -> bool:
        """Begin to hear a charon; False if it was heard already. Raises Temporary."""
        with self._lock:
            if router_id in self._ears:
                return False
        try:
            ear = _Ear(router_id, paths)
        except _BROKEN as error:
            text = f"strongSwan doesn't tell its events: {error}."
            raise Temporary(router_id, Reason(_code(error), text)) from error
        with self._lock:
            if self._closing or router_id in self._ears:
                ear.close()
                return False
            self._ears[router_id] = ear
            self._joining.append(ear)
            self._rouse()
        return True

    def detach(self, router_id: RouterId) -> None:
        """Stop to hear a charon; nothing is told of it any more."""
        with self._lock:
            ear = self._ears.pop(router_id, None)
            if ear is not None and not self._closing:
                self._leaving.append(ear)
                self._rouse()

    def close(self) -> None:
        """End the thread; the charons go on. Twice is fine."""
        with self._lock:
            if self._closing:
                return
            self._closing = True
            # Under the lock: the thread takes it before it closes what it is woken by.
            self._rouse()
        self._thread.join()

    def _rouse(self) -> None:
        """Wake the thread; with the lock held, for which it may be waiting: so this never waits.

        If no byte fits any more, there are enough of them to wake it.
        """
        with contextlib.suppress(BlockingIOError):
            self._wake.send(b".")

    def _run(self) -> None:
        while not self._closing:
            for key, _ in self._selector.select():
                if key.data is None:
                    self._admit()
                else:
                    self._hear(*key.data)
        with self._lock:
            ears = [*self._ears.values(), *self._leaving]
        for ear in ears:
            ear.close()
        self._selector.close()
        self._wakened.close()
        self._wake.close()

    def _admit(self) -> None:
        """Take up those who joined and let go of those who left."""
        self._wakened.recv(4096)
        with self._lock:
            joining, self._joining = self._joining, []
            leaving, self._leaving = self._leaving, []
        for ear in joining:
            if ear in leaving:
                continue
            for which, sock in ear.sockets().items():
                self._selector.register(sock, selectors.EVENT_READ, (ear, which))
            if ear.early:
                self._on_events(ear.router_id, ear.early)
        for ear in leaving:
            self._let_go(ear)

    def _hear(self, ear: _Ear, which: str) -> None:
        if self._ears.get(ear.router_id) is not ear:
            return
        try:
            heard = ear.hear(which)
        except _BROKEN:
            LOG.exception("Router %s: charon tells what can't be read", ear.router_id)
            heard = None
        if heard is None:
            with self._lock:
                if self._ears.get(ear.router_id) is ear:
                    del self._ears[ear.router_id]
            self._let_go(ear)
            self._on_events(ear.router_id, None)
        elif heard:
            self._on_events(ear.router_id, heard)

    def _let_go(self, ear: _Ear) -> None:
        for sock in ear.sockets().values():
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(sock)
        ear.close()
