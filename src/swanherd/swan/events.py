"""What charon tells by itself, as values: error-notify records, VICI events, tokens of its log."""

from __future__ import annotations

import dataclasses
import re
import struct
from collections.abc import Mapping
from typing import Any

from vici.exception import DeserializationException

from swanherd.core.ike import ChildSa, SaState
from swanherd.swan import codec

# One record of the error-notify plugin (error_notify_msg.h): type, text, config, identity, peer.
_RECORD = struct.Struct("!I384s64s256s60s")
RECORD_SIZE = _RECORD.size

# The record of a responder that finds no child for what is asked (error_notify_msg.h).
TS_MISMATCH = 10

# The VICI events that matter; `log` carries the exchanges (group ENC) that name a cause.
EVENT_TYPES = ("ike-updown", "child-updown", "ike-rekey", "child-rekey", "log")

_EXCHANGE = re.compile(r"(parsed|generating) ([A-Z0-9_]+) (request|response) \d+ \[(.*)\]")
_RECEIVED = re.compile(r"received packet: from (\S+)\[\d+\] to ")
_UNSENT = "error writing to socket: "
# In IKEv1 no record tells of this, nor what was asked for (quick_mode.c).
_UNMATCHED = b"no matching CHILD_SA config found for "
# An event's packet begins so; those lines that we read have their text so in it (vici/README.md).
_LOG_EVENT = b"\x07\x03log"
_TELLING = re.compile(
    rb"\x03\x03msg..(?:received packet: from |error writing to socket: |parsed |generating |"
    + re.escape(_UNMATCHED)
    + rb")",
    re.DOTALL,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Notice:
    """A record of error-notify; `config` is empty where charon had chosen none yet.

    `identity` is the one that the peer presented, if it has.
    """

    type: int
    text: str
    config: str
    peer: str
    identity: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Exchange:
    """An IKE message that was read or made: its payloads by their short names."""

    config: str
    peer: str
    received: bool
    kind: str
    request: bool
    payloads: frozenset[str]
    ike_id: int = 0  # charon's unique id of the IKE SA


@dataclasses.dataclass(frozen=True, slots=True)
class IkeChange:
    """An IKE SA came up or went; `state` is the one that it was in when it went."""

    config: str
    unique_id: int
    up: bool
    state: SaState


@dataclasses.dataclass(frozen=True, slots=True)
class ChildChange:
    """A child SA came up or went; `child` has its counters."""

    config: str
    up: bool
    state: SaState
    child: ChildSa | None = dataclasses.field(default=None, compare=False)


@dataclasses.dataclass(frozen=True, slots=True)
class IkeRekeyed:
    """An IKE SA took another's place."""

    config: str
    old: int
    new: int


@dataclasses.dataclass(frozen=True, slots=True)
class ChildRekeyed:
    """A child SA took the place of the old one."""

    config: str
    old: ChildSa | None = dataclasses.field(default=None, compare=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Unsendable:
    """The kernel refused a packet of charon's, for this reason (strerror)."""

    text: str


Event = Notice | Exchange | IkeChange | ChildChange | IkeRekeyed | ChildRekeyed | Unsendable


def parse_record(record: bytes) -> Notice:
    """Return one record of error-notify; its length is RECORD_SIZE."""
    kind, text, config, identity, peer = _RECORD.unpack(record)
    address = _until_nul(peer).rpartition("[")[0]
    return Notice(
        kind, _until_nul(text), _until_nul(config), address, identity=_until_nul(identity)
    )


def is_chatter(packet: bytes) -> bool:
    """Tell without decoding it whether a packet is a log line that tells us nothing.

    Most lines are: hundreds for each tunnel that comes up (the wire: vici's README, "Encoding").
    """
    return packet.startswith(_LOG_EVENT) and _TELLING.search(packet) is None


class EventReader:
    """Turns VICI events of one charon into values.

    A log line without a config doesn't say whose it is, but charon's thread that wrote it has
    said just before from whom it received a packet.
    """

    def __init__(self) -> None:
        self._peers: dict[bytes, str] = {}

    def read(self, kind: str, message: Mapping[str, Any]) -> tuple[Event, ...]:
        """Return what the event means to us; nothing if it doesn't matter.

        Raises vici's DeserializationException for what is no such event.
        """
        try:
            return self._read(kind, message)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DeserializationException(f"what is told of {kind} isn't as known") from error

    def _read(self, kind: str, message: Mapping[str, Any]) -> tuple[Event, ...]:
        match kind:
            case "log":
                event = self._read_log(message)
                return (event,) if event is not None else ()
            case "ike-updown":
                up = codec.is_up(message)
                return tuple(
                    IkeChange(sa.config, sa.unique_id, up, sa.state)
                    for sa in codec.parse_sas(message)
                )
            case "child-updown":
                up = codec.is_up(message)
                return tuple(
                    ChildChange(sa.config, up, child.state, child)
                    for sa in codec.parse_sas(message)
                    for child in sa.children
                )
            case "ike-rekey":
                return tuple(
                    IkeRekeyed(new.config, old.unique_id, new.unique_id)
                    for old, new in codec.parse_rekey(message)
                )
            case "child-rekey":
                return tuple(ChildRekeyed(n, old) for n, old in codec.parse_child_rekey(message))
            case _:
                return ()

    def _read_log(self, message: Mapping[str, Any]) -> Event | None:
        group, thread = message.get("group"), message.get("thread", b"")
        if group == b"NET":
            text = message.get("msg", b"").decode("utf-8", "replace")
            if match := _RECEIVED.match(text):
                self._peers[thread] = match[1]
            elif text.startswith(_UNSENT):
                return Unsendable(text.removeprefix(_UNSENT))
        config = message.get("ikesa-name", b"").decode("utf-8", "replace")
        if group == b"IKE" and message.get("msg", b"").startswith(_UNMATCHED):
            text = message["msg"].decode("utf-8", "replace")
            return Notice(TS_MISMATCH, text, config, "")
        if group == b"ENC":
            text = message.get("msg", b"").decode("utf-8", "replace")
            if match := _EXCHANGE.match(text):
                return Exchange(
                    config="" if config == codec.UNNAMED else config,
                    peer=self._peers.get(thread, ""),
                    received=match[1] == "parsed",
                    kind=match[2],
                    request=match[3] == "request",
                    payloads=frozenset(match[4].split()),
                    ike_id=int(message.get("ikesa-uniqueid", b"0")),
                )
        return None


def _until_nul(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "replace")
