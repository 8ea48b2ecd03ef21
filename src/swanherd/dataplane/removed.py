"""Which netlink messages tell that something was removed that may be ours. Pure.

Only what goes counts: what the agent adds, far more than it removes, needs no second look.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from swanherd.dataplane.nft import TABLE

# linux/rtnetlink.h
_NEWLINK, _DELLINK, _DELADDR, _DELROUTE, _DELRULE = 16, 17, 21, 25, 33
_IFF_UP = 1  # linux/if.h
_CLONED = 0x200  # RTM_F_CLONED: the kernel's own cache

_NFTABLES = 10  # linux/netfilter/nfnetlink.h: NFNL_SUBSYS_NFTABLES
# linux/netfilter/nf_tables.h: NFT_MSG_DELTABLE, _DELCHAIN, _DELRULE, _DELSET, _DELSETELEM, _DELOBJ
_DELETED = frozenset({2, 5, 8, 11, 14, 20})
# In each of these messages this attribute is the table's name.
_TABLE_NAME = 1

_HEADER = struct.Struct("=IHHII")  # nlmsghdr, linux/netlink.h
_LINK = struct.Struct("=BxHiII")  # ifinfomsg
_ROUTE = struct.Struct("=8BI")  # rtmsg
_NFGEN = struct.Struct("=BBH")  # nfgenmsg
_ATTRIBUTE = struct.Struct("=HH")  # nlattr

_OURS = TABLE.rpartition(" ")[2].encode() + b"\0"


def tells_of_removal(data: bytes) -> bool:
    """Tell whether one of these messages tells of a removal; of nf_tables only our table's."""
    return any(_is_removal(kind, body) for kind, body in _messages(data))


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _HEADER.size:
        length, kind, *_ = _HEADER.unpack_from(data)
        if length < _HEADER.size:
            return
        yield kind, data[_HEADER.size : length]
        data = data[_aligned(length) :]


def _is_removal(kind: int, body: bytes) -> bool:
    match kind:
        case _ if kind >> 8 == _NFTABLES:
            return kind & 0xFF in _DELETED and _table_of(body) == _OURS
        case _ if kind == _NEWLINK and len(body) >= _LINK.size:
            *_, flags, changed = _LINK.unpack_from(body)
            # A device that is new has changed in all.
            return changed != 0xFFFFFFFF and bool(changed & ~flags & _IFF_UP)
        case _ if kind == _DELROUTE and len(body) >= _ROUTE.size:
            *_, flags = _ROUTE.unpack_from(body)
            return not flags & _CLONED
        case _:
            return kind in (_DELLINK, _DELADDR, _DELRULE)


def _table_of(body: bytes) -> bytes | None:
    body = body[_NFGEN.size :]
    while len(body) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(body)
        if length < _ATTRIBUTE.size:
            return None
        if kind & 0x3FFF == _TABLE_NAME:
            return body[_ATTRIBUTE.size : length]
        body = body[_aligned(length) :]
    return None


def _aligned(length: int) -> int:
    return (length + 3) & ~3
