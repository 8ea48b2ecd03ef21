"""What the kernel's XFRM has, by netlink (linux/xfrm.h): SAs and policies.

There may be thousands of them, and mostly those of before: so what is told of each is only the
bytes by which it is known and that matter to us, and who gets them reads new ones alone.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator
from typing import Any

from swanherd.dataplane.privileged import default, inside
from swanherd.dataplane.privileged.xfrm import NETLINK_XFRM, NLMSG_ERROR

_NLMSG_DONE = 3
_DELETE_SA, _GET_SA, _DELETE_POLICY, _GET_POLICY, _PUT_POLICY = 0x11, 0x12, 0x14, 0x15, 0x19
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_HEADER = 16

# struct nlattr: its length, and what it is.
_ATTRIBUTE = struct.Struct("=HH")

# struct xfrm_selector: destination, source, two ports with masks, family, two lengths, protocol.
_SELECTOR = struct.Struct("=16s16sHHHHHBBBxxxiI")
# Of its bytes: the ports with masks, the protocol, and how much of it is of networks.
_PORTS, _PROTOCOL, _NETWORKS = slice(32, 40), 44, 48
# The offsets in struct xfrm_usersa_info that come after its selector, and its size. What an SA is
# told by: its id (destination, SPI, protocol) and source, which follow one another, and family.
_SA_ID, _SA_FAMILY, _SA_SIZE = 56, 212, 224
_TOLD_SA = struct.Struct("!16sIBxxx16s")
_POLICY_DIRECTION, _POLICY_SIZE = 160, 168
# struct xfrm_userpolicy_info after its selector: eight limits, four counters, priority, index,
# direction, action (0: allow), flags, share.
_POLICY_REST = struct.Struct("=8Q4QIIBBBB4x")
_POLICY_PRIORITY = slice(152, 156)
# struct xfrm_user_tmpl: destination, SPI, protocol, family, source, reqid, mode, share, optional,
# authentication, encryption, compression.
_TEMPLATE = struct.Struct("=16sIBxxxHxx16sIBBBxIII")
_FOREVER, _ANY = (1 << 64) - 1, (1 << 32) - 1
_TUNNEL = 1
# Those of sockets, which let IKE's own packets pass, have higher numbers.
_DIRECTIONS = (0, 1, 2)
_KEYS = {1, 2, 18, 20}  # XFRMA_ALG_AUTH, _CRYPT, _AEAD, _AUTH_TRUNC
_TEMPLATES = 5  # XFRMA_TMPL

# A policy is known by its selector and its mark. Ours is of packets whose highest bit isn't set:
# nobody's are, for Neutron's address scopes have marks below it (neutron.agent.l3.router_info).
_OUR_MARK = struct.pack("=HHII", 12, 21, 0, 1 << 31)  # XFRMA_MARK


@default.entrypoint
def observe(namespace: str) -> tuple[list[bytes], list[bytes]]:
    """Return the SAs that have keys and the policies; none where the kernel has no XFRM.

    Each as the bytes that `read_sa` and `read_policy` take.
    """
    return inside.within(namespace, _observe)


@default.entrypoint
def remove_sa(namespace: str, destination: str, protocol: int, spi: int) -> None:
    """Remove an SA; idempotent."""
    packed = ipaddress.ip_address(destination)
    identity = packed.packed.ljust(16, b"\0") + struct.pack("!I", spi)
    payload = identity + struct.pack("=HBx", _family(packed.version), protocol)
    with inside.ignoring(errno.ESRCH):
        inside.within(namespace, lambda: _change(_DELETE_SA, payload))


@default.entrypoint
def ensure_policy(namespace: str, policy: dict[str, Any]) -> None:
    """Add a policy of ours, or replace it: its tunnels are let in, whatever their source.

    `policy` is as `read_policy` tells it. A packet has to match all templates but optional ones
    (__xfrm_policy_check), so of several tunnels each is optional; what came by none of them, but
    by another tunnel, is still dropped. Only the guard then drops what came in clear.
    """
    inside.within(namespace, lambda: _change(_PUT_POLICY, _policy_of_ours(policy)))


@default.entrypoint
def remove_policy(namespace: str, policy: dict[str, Any]) -> None:
    """Remove the policy of exactly these networks, ours if it has a `welcome`; idempotent."""
    payload = _selector(policy) + struct.pack("=IBxxx", 0, policy["direction"])
    if policy["welcome"] is not None:
        payload += _OUR_MARK
    with inside.ignoring(errno.ENOENT):
        inside.within(namespace, lambda: _change(_DELETE_POLICY, payload))


@default.entrypoint
def remove_ours(namespace: str) -> None:
    """Remove all policies of ours; idempotent."""
    _, policies = inside.within(namespace, _observe)
    for policy in map(read_policy, policies):
        if policy["welcome"] is not None:
            remove_policy(namespace, policy)


def _selector(policy: dict[str, Any]) -> bytes:
    here, there = (ipaddress.ip_network(policy[end]) for end in ("source", "destination"))
    return _SELECTOR.pack(
        there.network_address.packed,
        here.network_address.packed,
        *(0, 0, 0, 0),
        _family(here.version),
        there.prefixlen,
        here.prefixlen,
        *(0, 0, 0),
    )


def _policy_of_ours(policy: dict[str, Any]) -> bytes:
    welcome = policy["welcome"]
    limits = (_FOREVER,) * 4 + (0,) * 8
    rest = _POLICY_REST.pack(*limits, welcome["priority"], 0, policy["direction"], 0, 0, 0)
    family = _family(ipaddress.ip_network(policy["source"]).version)
    here = there = b""
    if welcome["ends"]:
        ends = [ipaddress.ip_address(end) for end in welcome["ends"]]
        (here, there), family = (end.packed for end in ends), _family(ends[0].version)
    optional = len(welcome["tunnels"]) > 1
    templates = b"".join(
        _TEMPLATE.pack(
            *(there, 0, protocol, family, here, reqid, _TUNNEL, 0, optional), _ANY, _ANY, _ANY
        )
        for protocol, reqid in welcome["tunnels"]
    )
    attribute = struct.pack("=HH", 4 + len(templates), _TEMPLATES) + templates
    return _selector(policy) + rest + attribute + _OUR_MARK


def _observe() -> tuple[list[bytes], list[bytes]]:
    try:
        link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_XFRM)
    except OSError as error:
        if error.errno == errno.EPROTONOSUPPORT:
            return [], []
        raise
    with link:
        link.settimeout(10)
        sas = [_told_of_sa(body) for body in _dump(link, _GET_SA) if _has_key(body)]
        policies = [_told_of_policy(b) for b in _dump(link, _GET_POLICY) if _is_of_networks(b)]
    return sas, policies


def _dump(link: socket.socket, kind: int) -> Iterator[bytes]:
    """Yield the bodies of all objects that the request lists."""
    link.send(struct.pack("=IHHII", _HEADER, kind, _REQUEST | _DUMP, 1, 0))
    while True:
        reply = link.recv(1 << 17)
        while reply:
            length, message = struct.unpack_from("=IH", reply)
            if message == _NLMSG_DONE:
                return
            if message == NLMSG_ERROR:
                raise _error(reply)
            yield reply[_HEADER:length]
            reply = reply[(length + 3) & ~3 :]


def _change(kind: int, payload: bytes) -> None:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_XFRM) as link:
        link.settimeout(10)
        length = _HEADER + len(payload)
        link.send(struct.pack("=IHHII", length, kind, _REQUEST | _ACK, 1, 0) + payload)
        error = _error(link.recv(65536))
        if error.errno:
            raise error


def _error(reply: bytes) -> OSError:
    number = -struct.unpack_from("=i", reply, _HEADER)[0]
    return OSError(number, f"XFRM: {os.strerror(number)}")


def _has_key(body: bytes) -> bool:
    """Tell whether it isn't an SA that only reserves an SPI while IKE negotiates."""
    # Without a generator: its first attributes tell, and there may be thousands of SAs.
    at = _SA_SIZE
    while at < len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        if kind in _KEYS:
            return True
        at += max((length + 3) & ~3, 4)
    return False


def _told_of_sa(body: bytes) -> bytes:
    return body[_SA_ID : _SA_ID + _TOLD_SA.size] + body[_SA_FAMILY : _SA_FAMILY + 2]


def read_sa(told: bytes) -> dict[str, Any]:
    """Return the ends, the protocol and the SPI of an SA that `observe` told of."""
    destination, spi, protocol, source = _TOLD_SA.unpack_from(told)
    (family,) = struct.unpack_from("=H", told, _TOLD_SA.size)
    return {
        "source": _address(family, source),
        "destination": _address(family, destination),
        "protocol": protocol,
        "spi": spi,
    }


def _is_of_networks(body: bytes) -> bool:
    """Tell whether the policy is of whole networks."""
    return (
        body[_POLICY_DIRECTION] in _DIRECTIONS and not any(body[_PORTS]) and body[_PROTOCOL] == 0
    )


def _told_of_policy(body: bytes) -> bytes:
    """Return its networks and its direction; of one of ours its priority and templates too."""
    told = body[:_NETWORKS] + body[_POLICY_DIRECTION : _POLICY_DIRECTION + 1]
    # To search is quicker than to walk through the attributes.
    if _OUR_MARK not in body[_POLICY_SIZE:]:
        return told
    templates = dict(_attributes(body[_POLICY_SIZE:])).get(_TEMPLATES, b"")
    return told + body[_POLICY_PRIORITY] + templates


def read_policy(told: bytes) -> dict[str, Any]:
    """Return the networks and the direction of a policy that `observe` told of.

    And by which SAs it lets in, if it is ours.
    """
    there, here = told[:16], told[16:32]
    family, there_length, here_length = struct.unpack_from("=HBB", told, 40)
    ours = told[_NETWORKS + 1 :]
    return {
        "source": f"{_address(family, here)}/{here_length}",
        "destination": f"{_address(family, there)}/{there_length}",
        "direction": told[_NETWORKS],
        "welcome": _welcome(ours) if ours else None,
    }


def _welcome(told: bytes) -> dict[str, Any]:
    """Return by which SAs a policy of ours lets in: none, if somebody has changed it."""
    (priority,), templates = struct.unpack_from("=I", told), told[4:]
    tunnels, ends = [], None
    for template in _TEMPLATE.iter_unpack(templates):
        there, _, protocol, family, here, reqid, mode, _, optional, *_ = template
        partly = any(here) != any(there)
        if partly or mode != _TUNNEL or optional != (len(templates) > _TEMPLATE.size):
            return {"tunnels": [], "priority": priority, "ends": None}
        if any(here) or any(there):
            ends = [_address(family, here), _address(family, there)]
        tunnels.append((protocol, reqid))
    return {"tunnels": tunnels, "priority": priority, "ends": ends}


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        length, kind = _ATTRIBUTE.unpack_from(data)
        yield kind, data[4:length]
        data = data[max((length + 3) & ~3, 4) :]


def _address(family: int, packed: bytes) -> str:
    return socket.inet_ntop(family, packed[: 4 if family == socket.AF_INET else 16])


def _family(version: int) -> int:
    return int(socket.AF_INET if version == 4 else socket.AF_INET6)
