"""Values to VICI messages and back. Bytes and charon's names end here."""

from __future__ import annotations

import dataclasses
import hashlib
import ipaddress
import re
from collections.abc import Mapping
from typing import Any

from swanherd.core import handover
from swanherd.core.ike import ChildSa, IkeConfig, IkeSa, LoadedConfig, SaState
from swanherd.core.model import (
    ConnectionId,
    DataPlane,
    IkeVersion,
    IpsecPolicy,
    Phase1Mode,
    SiteConnection,
    TrafficSelector,
)
from swanherd.core.naming import reqid_of
from swanherd.core.spelling import to_compare
from swanherd.swan import identity, negotiated, proposals, wire

Message = dict[str, Any]

# What the API may say for "a peer of any address".
_ANY_ADDRESS = frozenset({"0.0.0.0", "::", "%any"})  # noqa: S104 (nothing is bound)

# `unique = never` as list-conns tells it (peer_cfg.c, unique_policy_names).
_NEVER = b"UNIQUE_NEVER"

# What charon calls an IKE SA that it has no config for yet (ike_sa.c, get_name).
UNNAMED = "(unnamed)"

_HOST_NAME = re.compile(r"(?=.{1,255}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?\Z")

# Tasks that make or end children (task.c); passive ones are those that the peer began.
_MAKING = frozenset(
    {
        "IKE_INIT",
        "IKE_AUTH",
        "IKE_DELETE",
        "CHILD_CREATE",
        "CHILD_DELETE",
        "MAIN_MODE",
        "AGGRESSIVE_MODE",
        "ISAKMP_DELETE",
        "QUICK_MODE",
        "QUICK_DELETE",
    }
)


class Unrenderable(ValueError):
    """A connection that can't be said to charon; the message is for the user."""


@dataclasses.dataclass(frozen=True, slots=True)
class ConfigFacts:
    """What a loaded config tells of its peer: enough to say whose a nameless failure is.

    `peer_id` is as charon prints it (until charon has told: as the API has it).
    """

    version: IkeVersion | None
    remotes: frozenset[str]
    peer_id: str = ""

    @property
    def any_peer(self) -> bool:
        """Tell whether the peer may have any address."""
        return not self.remotes or "%any" in self.remotes


# Values → messages


def render(config: IkeConfig, plane: DataPlane, *, quiet: bool = False, rank: int = 0) -> Message:
    """Return the message of `load-conn`; equal configs yield equal messages."""
    connection = config.connection
    if connection.local_address is None:
        raise Unrenderable("The public port has no address of the peer's family.")
    try:
        message = {config.name: _render_ike(config, plane, quiet=quiet, rank=rank)}
    except ValueError as error:
        raise Unrenderable(f"strongSwan can't be told this: {error}.") from error
    if wire.size_of(message) > wire.MOST:
        many = f"{len(config.children)} pairs of networks are too many for one peer"
        raise Unrenderable(f"{many}: strongSwan takes about 1,700.")
    return message


def render_secret(connection: SiteConnection) -> Message:
    """Return the message of `load-shared`: the one place where a PSK is read for charon."""
    try:
        owners = [identity.render(_local_id(connection)), identity.render(connection.peer_id)]
    except ValueError as error:
        raise Unrenderable(f"strongSwan can't be told this: {error}.") from error
    if connection.ike.version is IkeVersion.V1:
        # In main mode the key is looked up before any identity is known (RFC 2409 §5.4).
        owners += [
            identity.render(a)
            for a in (str(connection.local_address), connection.peer_address)
            if _is_address(a) and a not in _ANY_ADDRESS
        ]
    return {
        "id": connection.id,
        "type": "IKE",
        "data": connection.psk.value,
        "owners": list(dict.fromkeys(owners)),
    }


def _render_ike(config: IkeConfig, plane: DataPlane, *, quiet: bool, rank: int) -> Message:
    connection = config.connection
    ike, dpd = connection.ike, connection.dpd
    policies = dict(config.policies)
    watch = dpd.watches
    eager = _is_eager(connection)
    message: Message = {
        "version": 1 if ike.version is IkeVersion.V1 else 2,
        "local_addrs": [str(connection.local_address)],
        "remote_addrs": [_remote_address(connection.peer_address)],
        "proposals": [proposals.ike_proposal(ike)],
        "keyingtries": 1,
        "mobike": "no",
        "fragmentation": "yes",
        # "replace" would end the old SA in the middle of a swap (live: §1 fact 3); with "never"
        # no INITIAL_CONTACT is sent (docs/adr/0020).
        "unique": "never" if quiet else "no",
        "encap": "yes" if plane is DataPlane.USERSPACE else "no",
        "dpd_delay": dpd.interval if watch else 0,
        **_ike_times(config.name, ike.lifetime, eager=eager),
        # An AAA identity has no meaning for a PSK, but is part of charon's test whether two
        # configs are equal: so it never joins two of ours into one IKE SA (auth_cfg.c).
        "local": {
            "auth": "psk",
            "id": identity.render(_local_id(connection)),
            "aaa_id": f"keyid:{config.name}",
        },
        "remote": {"auth": "psk", "id": identity.render(connection.peer_id)},
        "children": {
            name: {
                **_render_child(policies.get(name, connection.ipsec), selector, eager=eager),
                **(_in_kernel(name, selector, rank) if plane is DataPlane.KERNEL else {}),
            }
            for name, selector in config.children
        },
    }
    if ike.version is IkeVersion.V1:
        message["aggressive"] = "yes" if ike.mode is Phase1Mode.AGGRESSIVE else "no"
        if watch:
            message["dpd_timeout"] = dpd.timeout
    return message


def _is_eager(connection: SiteConnection) -> bool:
    """Tell whether this side renews SAs well before the other one would, if that is one of ours.

    Equal lifetimes end at once on both sides. In IKEv1 two IKE SAs would then take the place of
    one, and each side move the children to another of them.
    """
    return to_compare(_local_id(connection)) < to_compare(connection.peer_id)


def _render_child(policy: IpsecPolicy, selector: TrafficSelector, *, eager: bool) -> Message:
    key, proposal = proposals.child_proposal(policy)
    return {
        key: [proposal],
        "mode": str(policy.mode),
        "local_ts": [str(selector.local)],
        "remote_ts": [str(selector.remote)],
        "policies": "yes",
        # The agent acts on events; charon by itself does nothing (live: §1 fact 1).
        "start_action": "none",
        "dpd_action": "none",
        "close_action": "none",
        "life_time": policy.lifetime,
        "rekey_time": policy.lifetime * (80 if eager else 90) // 100,
        "rand_time": policy.lifetime // 30,
    }


def _in_kernel(name: str, selector: TrafficSelector, rank: int) -> Message:
    """Return what the kernel's policies of the child are to have."""
    return {"reqid": reqid_of(name), "priority": handover.priority(selector, rank)}


def _ike_times(name: str, lifetime: int, *, eager: bool) -> Message:
    """Return IKE times whose hard limit is the lifetime exactly, a little different by name.

    charon's equality of configs includes these times, but not the name (peer_cfg.c), so that
    two generations of one connection would otherwise share an IKE SA.
    """
    digest = hashlib.sha256(name.encode()).digest()
    spread = lifetime // 20 + 1
    over = lifetime // (4 if eager else 10) + int.from_bytes(digest[:8], "big") % spread
    rand = lifetime // 50 + int.from_bytes(digest[8:16], "big") % (lifetime // 50 + 1)
    return {
        "over_time": over,
        "rekey_time": lifetime - over,
        "rand_time": rand,
        "reauth_time": 0,
    }


def _local_id(connection: SiteConnection) -> str:
    return connection.local_id or str(connection.local_address)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _remote_address(text: str) -> str:
    """Return the peer's address for charon; raises ValueError for what it would read as more."""
    if text in _ANY_ADDRESS:
        return "%any"
    if _is_address(text):
        return str(ipaddress.ip_address(text))
    # charon also reads networks, ranges and lists here (ike_cfg.c); a name has none of these.
    labels = text.removesuffix(".").split(".")
    if not _HOST_NAME.match(text) or not all(labels) or labels[-1].isdigit():
        raise ValueError("the peer's address is neither an IP address nor a name")
    return text


def facts_of(config: IkeConfig) -> ConfigFacts:
    """Return what `list-conns` will tell of the config's peer."""
    connection = config.connection
    remote = _remote_address(connection.peer_address)
    return ConfigFacts(connection.ike.version, frozenset({remote}), connection.peer_id)


# Messages → values


def parse_config(message: Mapping[str, Any]) -> tuple[LoadedConfig, ConfigFacts]:
    """Return one event of `list-conns`."""
    ((name, body),) = message.items()
    children = frozenset(body.get("children", {}))
    versions = {b"IKEv1": IkeVersion.V1, b"IKEv2": IkeVersion.V2}
    remotes = frozenset(_text(a) for a in body.get("remote_addrs", ()))
    peer_id = _text(body.get("remote-1", {}).get("id", b""))
    facts = ConfigFacts(versions.get(body.get("version")), remotes, peer_id)
    return LoadedConfig(name, children, body.get("unique") == _NEVER), facts


def parse_secrets(message: Mapping[str, Any]) -> frozenset[ConnectionId]:
    """Return the answer of `get-shared`: whose PSKs are loaded."""
    return frozenset(ConnectionId(_text(key)) for key in message.get("keys", ()))


def parse_sas(message: Mapping[str, Any]) -> tuple[IkeSa, ...]:
    """Return the IKE SAs of one event of `list-sas` (one) or of an updown (`up` beside it).

    What a peer has only begun, nobody can say yet whose it is: charon gives it half a minute
    (half_open_timeout), and whoever began it may be one of ours, so it is nothing to judge.
    """
    return tuple(
        _parse_ike_sa(name, body)
        for name, body in message.items()
        if isinstance(body, dict) and name != UNNAMED
    )


def parse_rekey(message: Mapping[str, Any]) -> tuple[tuple[IkeSa, IkeSa], ...]:
    """Return the old and the new IKE SA of `ike-rekey`."""
    return tuple(
        (_parse_ike_sa(name, body["old"]), _parse_ike_sa(name, body["new"]))
        for name, body in message.items()
        if isinstance(body, dict) and "old" in body and "new" in body
    )


def parse_child_rekey(message: Mapping[str, Any]) -> tuple[tuple[str, ChildSa | None], ...]:
    """Return the config and the old child SA of each that `child-rekey` tells."""
    return tuple(
        (name, _parse_child_sa(change["old"]) if "old" in change else None)
        for name, body in message.items()
        if isinstance(body, dict)
        for change in body.get("child-sas", {"": {}}).values()
    )


def is_up(message: Mapping[str, Any]) -> bool:
    """Tell whether an updown event says up; charon leaves the key out when down."""
    return bool(message.get("up") == b"yes")


def _parse_ike_sa(name: str, body: Mapping[str, Any]) -> IkeSa:
    begun = _tasks(body, "tasks-queued") | _tasks(body, "tasks-active")
    return IkeSa(
        config=name,
        unique_id=int(body["uniqueid"]),
        state=_state(body),
        initiator=body.get("initiator") == b"yes",
        local_host=_text(body.get("local-host", b"")),
        remote_host=_text(body.get("remote-host", b"")),
        busy=bool((begun | _tasks(body, "tasks-passive")) & _MAKING),
        children=tuple(
            sorted(
                (_parse_child_sa(child) for child in body.get("child-sas", {}).values()),
                key=lambda child: child.unique_id,
            )
        ),
        age=int(body.get("established", 0)),
        initiator_spi=_text(body.get("initiator-spi", b"")),
        answered=bool(_text(body.get("responder-spi", b"")).strip("0")),
        nat_local=body.get("nat-local") == b"yes",
        nat_remote=body.get("nat-remote") == b"yes",
        remote_port=int(body.get("remote-port", 0)),
        details=negotiated.parse_ike(body),
    )


def _parse_child_sa(body: Mapping[str, Any]) -> ChildSa:
    return ChildSa(
        _text(body["name"]),
        int(body["uniqueid"]),
        _state(body),
        negotiated.parse_child(body),
        frozenset(int(body[key], 16) for key in ("spi-in", "spi-out") if key in body),
        int(body["use-in"]) if "use-in" in body else None,
    )


def _state(body: Mapping[str, Any]) -> SaState:
    try:
        return SaState(_text(body["state"]))
    except ValueError:
        return SaState.OTHER


def _tasks(body: Mapping[str, Any], queue: str) -> set[str]:
    return {_text(task) for task in body.get(queue, ())}


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
