"""FortiGate, FortiOS 7: lines of its CLI."""

from __future__ import annotations

import ipaddress

from swanherd_client.peers.words import (
    PRINTABLE,
    UNTESTED,
    File,
    identity_text,
    known_group,
    look_up,
    only_esp_tunnels,
    only_ipv4,
    remark,
    within,
)
from swanherd_client.tunnel import Kind, Policy, Tunnel, Unsayable

DEVICE = "FortiGate"
_LIFETIME = 120, 172800  # of both phases (CLI reference, vpn ipsec)
_GROUPS = (1, 2, 5, *range(14, 22), *range(27, 33))
_HASHES = {name: name for name in ("sha1", "sha256", "sha384", "sha512")}
_KINDS = {
    Kind.ADDRESS: "address",
    Kind.FQDN: "fqdn",
    Kind.EMAIL: "user-fqdn",
    Kind.KEYID: "keyid",
}


def files(tunnel: Tunnel) -> tuple[File, ...]:
    """Return the lines."""
    only_esp_tunnels(DEVICE, tunnel)
    only_ipv4(DEVICE, tunnel)
    lines = [f"# {remark(tunnel.name)}: the other side of connection {tunnel.id}", f"# {UNTESTED}"]
    lines += ['# Set the interface to the internet instead of "wan1".']
    lines += _table("vpn ipsec phase1-interface", {tunnel.label: _phase1(tunnel)})
    children = {
        f"{tunnel.label}-{n}": _phase2(tunnel, *pair) for n, pair in enumerate(tunnel.pairs, 1)
    }
    lines += _table("vpn ipsec phase2-interface", children)
    for there in tunnel.cloud_networks:
        route = [f"set dst {_masked(there)}", f"set device {_quoted(tunnel.label)}"]
        lines += _table("router static", {"0": route})
    lines += ["# And firewall policies in both directions between the tunnel and your networks."]
    return (File(f"{tunnel.label}.fortios", "\n".join(lines) + "\n"),)


def _phase1(tunnel: Tunnel) -> list[str]:
    psk = "put the pre-shared key here" if tunnel.psk is None else tunnel.psk
    if len(psk) < 6:
        raise Unsayable(f"{DEVICE} needs a psk of at least 6 characters")
    if psk.lower().startswith("0x"):
        raise Unsayable(f"{DEVICE} takes a psk that begins with 0x for hexadecimal digits")
    lines = [
        'set interface "wan1"',
        f"set ike-version {tunnel.version}",
        f"set keylife {within(DEVICE, 'lifetime', tunnel.ike.lifetime, *_LIFETIME)}",
        f"set proposal {_suite(tunnel.ike, prf=True)}",
        f"set dhgrp {_group(tunnel.ike)}",
        f"set remote-gw {tunnel.cloud_address}",
        f"set localid-type {_KINDS[tunnel.peer_id.kind]}",
        f"set localid {_quoted(identity_text(DEVICE, 'peer', tunnel))}",
        "set peertype one",
        f"set peerid {_quoted(identity_text(DEVICE, 'cloud', tunnel))}",
        "set net-device disable",
        f"set psksecret {_quoted(psk)}",
    ]
    if tunnel.version == 1:
        lines.append(f"set mode {'aggressive' if tunnel.aggressive else 'main'}")
    if tunnel.dpd_action == "disabled":
        return [*lines, "set dpd disable"]
    interval = within(DEVICE, "dpd interval", tunnel.dpd_interval, 0, 3600)
    return [*lines, "set dpd on-idle", f"set dpd-retryinterval {interval}"]


def _phase2(tunnel: Tunnel, here: str, there: str) -> list[str]:
    return [
        f"set phase1name {_quoted(tunnel.label)}",
        f"set proposal {_suite(tunnel.ipsec, prf=False)}",
        "set pfs enable",
        f"set dhgrp {_group(tunnel.ipsec)}",
        "set auto-negotiate enable",
        f"set keylifeseconds {within(DEVICE, 'lifetime', tunnel.ipsec.lifetime, *_LIFETIME)}",
        f"set src-subnet {_masked(here)}",
        f"set dst-subnet {_masked(there)}",
    ]


def _suite(policy: Policy, *, prf: bool) -> str:
    mode, bits, check = policy.cipher
    hashed = look_up(DEVICE, "auth_algorithm", policy.integrity, _HASHES)
    if mode == "gcm" and check == 16 and bits != 192:
        return f"aes{bits}gcm" + (f"-prf{hashed}" if prf else "")
    if mode in ("cbc", "3des"):
        return f"{'3des' if mode == '3des' else f'aes{bits}'}-{hashed}"
    raise Unsayable(f"{DEVICE} has no encryption_algorithm {policy.encryption}")


def _group(policy: Policy) -> int:
    return known_group(DEVICE, policy, _GROUPS)


def _masked(cidr: str) -> str:
    network = ipaddress.IPv4Network(cidr)
    return f"{network.network_address} {network.netmask}"


def _quoted(text: str) -> str:
    if not PRINTABLE.fullmatch(text) or "?" in text:
        raise Unsayable(f"{DEVICE} can't hold a value that isn't ASCII, or with a question mark")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _table(path: str, entries: dict[str, list[str]]) -> list[str]:
    lines = [f"config {path}"]
    for name, settings in entries.items():
        edit = name if name.isdigit() else _quoted(name)
        lines += [f"    edit {edit}", *(f"        {line}" for line in settings), "    next"]
    return [*lines, "end"]
