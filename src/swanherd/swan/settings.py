"""strongswan.conf of one router's charon, rendered. Pure."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from swanherd.core.ike import CharonOptions
from swanherd.core.model import DataPlane

# Of the rule that asks charon's own routing table, in a namespace that isn't ours: charon's routes
# go by destination alone, and would take packets of networks that nobody protects. So they come
# after main (32766); what is a pair's has rules of ours.
_GUEST_PRIORITY = "40000"

# The mark of charon's own packets: they must not follow the route into the tunnel.
_MARK = "0x42"

_PLUGINS = (
    "random nonce aes sha1 sha2 hmac kdf gmp curve25519 openssl gcm ccm ctr cmac xcbc "
    "{data_plane} socket-default vici error-notify"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Retransmission:
    """When charon sends an unanswered message again, and when it gives up; in seconds.

    The pauses are `timeout * base ** n`, at most `limit`, n from 0 to `tries`: in all 93 s here.
    That is also how long an IKEv2 peer may be dead before dead peer detection says so. The first
    pause is short, since right after a gateway has moved an answer may get lost on its way.
    """

    timeout: float = 0.3
    base: float = 1.8
    tries: int = 13
    limit: float = 10.0


@dataclasses.dataclass(frozen=True, slots=True)
class Paths:
    """The files of one router's charon; all are in `directory`."""

    directory: Path

    @property
    def conf(self) -> Path:
        """strongswan.conf."""
        return self.directory / "strongswan.conf"

    @property
    def vici(self) -> Path:
        """VICI's socket."""
        return self.directory / "charon.vici"

    @property
    def notices(self) -> Path:
        """error-notify's socket."""
        return self.directory / "charon.enfy"

    @property
    def ready(self) -> Path:
        """The socket on which charon says READY (sd_notify)."""
        return self.directory / "ready"

    @property
    def log(self) -> Path:
        """charon's log."""
        return self.directory / "charon.log"

    @property
    def old_log(self) -> Path:
        """The log before the last rotation."""
        return self.directory / "charon.log.1"

    @property
    def output(self) -> Path:
        """What charon writes to stdout and stderr: only why it can't start."""
        return self.directory / "charon.out"

    @property
    def state(self) -> Path:
        """Which process it is and what it was started with."""
        return self.directory / "charon.json"


def render(paths: Paths, options: CharonOptions, retransmission: Retransmission) -> str:
    """Return the text of strongswan.conf."""
    is_userspace = options.data_plane is DataPlane.USERSPACE
    data_plane = "kernel-libipsec kernel-netlink" if is_userspace else "kernel-netlink"
    plugins = {
        "vici": {"socket": f"unix://{paths.vici}"},
        "error-notify": {"socket": f"unix://{paths.notices}"},
        # The agent changes routes all the time; that is no reason to probe every peer.
        "kernel-netlink": {"roam_events": "no"},
    }
    if is_userspace:
        # A peer CIDR may contain the peer itself; what charon sends is marked and goes around.
        plugins["kernel-libipsec"] = {"allow_peer_ts": "yes"}
        plugins["kernel-netlink"]["fwmark"] = f"!{_MARK}"
        plugins["socket-default"] = {"fwmark": _MARK}
    body = {
        "load": _PLUGINS.format(data_plane=data_plane),
        "threads": "16",  # with 8 VICI starves
        "retransmit_timeout": str(retransmission.timeout),
        "retransmit_base": str(retransmission.base),
        "retransmit_tries": str(retransmission.tries),
        "retransmit_limit": str(retransmission.limit),
        # Many connections to one peer begin at once after a restart; cookies still protect.
        "block_threshold": "100",
        "plugins": plugins,
        # Enough for an operator to see why; keys are told of from level 4 on only.
        "filelog": {
            "swanherd": {
                "path": str(paths.log),
                "default": "0",
                "cfg": "1",
                "ike": "1",
                "flush_line": "yes",
                "ike_name": "yes",
                "time_format": "%Y-%m-%dT%H:%M:%S",
                "time_add_ms": "yes",
            }
        },
        "journal": {"default": "-1"},
    }
    if options.guest:
        body["routing_table_prio"] = _GUEST_PRIORITY
        if not is_userspace:
            body["install_routes"] = "no"
    if options.aggressive_psk:
        body["i_dont_care_about_security_and_use_aggressive_mode_psk"] = "yes"
    return "\n".join(_lines({"charon-systemd": body})) + "\n"


def _lines(section: dict[str, object], indent: str = "") -> list[str]:
    lines = []
    for key, value in section.items():
        if isinstance(value, dict):
            lines += [f"{indent}{key} {{", *_lines(value, indent + "  "), f"{indent}}}"]
        else:
            lines.append(f"{indent}{key} = {value}")
    return lines
