"""VICI messages as they are on the wire (strongSwan's vici README, "Message format"), read fast.

py-vici reads the same, but copies the message for each of its elements: of a thousand IKE SAs
that takes longer than all else of a look.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vici.exception import DeserializationException
from vici.protocol import Message

_SECTION_START, _SECTION_END, _KEY_VALUE, _LIST_START, _LIST_ITEM, _LIST_END = range(1, 7)

# charon closes the connection on a longer packet ("vici message length … exceeds 524288 bytes
# limit"); its head is the name of a command.
MOST = (1 << 19) - 64

# charon's own lists are five sections deep.
_DEEPEST = 32

_ENDED_EARLY = "the message ends within an element"


def size_of(message: Mapping[str, Any]) -> int:
    """Return of how many bytes a message is."""
    return len(Message.serialize(message))


def read_message(data: bytes) -> dict[str, Any]:
    """Return sections as dicts, lists as lists and values as bytes.

    Raises vici's DeserializationException for what is no whole message.
    """
    try:
        section, end = _read_section(data, 0, depth=0)
    except IndexError:
        raise DeserializationException(_ENDED_EARLY) from None
    if end != len(data):
        raise DeserializationException(f"unexpected end of a section at {end}")
    return section


def _read_section(data: bytes, at: int, depth: int) -> tuple[dict[str, Any], int]:
    """Return a section and where its end marker is: for the message itself, where the data ends.

    Its loop has no call for a value, since nearly all elements are values.
    """
    if depth > _DEEPEST:
        raise DeserializationException(f"sections within sections at {at}")
    section: dict[str, Any] = {}
    length = len(data)
    while at < length:
        kind = data[at]
        if kind == _SECTION_END:
            if depth:
                return section, at
            break
        start = at + 2
        at = start + data[at + 1]
        name = _text(data, start, at)
        if kind == _KEY_VALUE:
            start = at + 2
            at = start + (data[at] << 8 | data[at + 1])
            section[name] = data[start:at]
        elif kind == _SECTION_START:
            section[name], at = _read_section(data, at, depth + 1)
            at += 1
        elif kind == _LIST_START:
            section[name], at = _read_list(data, at)
        else:
            raise DeserializationException(f"unexpected element {kind} at {start - 2}")
    if at > length or depth:
        raise DeserializationException(_ENDED_EARLY)
    return section, at


def _read_list(data: bytes, at: int) -> tuple[list[bytes], int]:
    """Return a list's items and where what follows it begins."""
    items: list[bytes] = []
    while data[at] == _LIST_ITEM:
        start = at + 3
        at = start + (data[at + 1] << 8 | data[at + 2])
        items.append(data[start:at])
    if data[at] != _LIST_END:
        raise DeserializationException(f"expected the end of a list at {at}")
    return items, at + 1


def _text(data: bytes, start: int, end: int) -> str:
    try:
        return str(data[start:end], "utf-8")
    except UnicodeDecodeError:
        raise DeserializationException(f"a name at {start} is no UTF-8") from None
