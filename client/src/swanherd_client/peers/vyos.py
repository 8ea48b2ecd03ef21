"""VyOS 1.4: commands of the configuration mode."""

from __future__ import annotations

from swanherd_client.peers.words import (
    UNTESTED,
    File,
    identity_text,
    is_ip,
    known_group,
    look_up,
    need_address,
    only_esp_tunnels,
    plain,
    remark,
    within,
)
from swanherd_client.tunnel import Policy, Tunnel

DEVICE = "VyOS"
_LIFETIME = 30, 86400  # this and what follows: interface-definitions/vpn_ipsec.xml.in of VyOS 1.4
_DPD_TIME = 2, 86400
_GROUPS = (1, 2, 5, *range(14, 33))
_HASHES = {
    **{name: name for name in ("sha1", "sha256", "sha384", "sha512")},
    "aes-xcbc": "aesxcbc",
    "aes-cmac": "aescmac",
}
_DPD = {"clear": "clear", "hold": "trap", "restart": "restart", "restart-by-peer": "restart"}


def files(tunnel: Tunnel) -> tuple[File, ...]:
    """Return the commands."""
    only_esp_tunnels(DEVICE, tunnel)
    head = f"# {remark(tunnel.name)}: the other side of connection {tunnel.id}; in configure mode"
    settings = [*_ike(tunnel), *_esp(tunnel), *_key(tunnel), *_peer(tunnel)]
    lines = [head, f"# {UNTESTED}", *(f"set vpn ipsec {line}" for line in settings)]
    return (File(f"{tunnel.label}.vyos", "\n".join(lines) + "\n"),)


def _ike(tunnel: Tunnel) -> list[str]:
    group = f"ike-group {tunnel.label}"
    lines = [
        f"{group} key-exchange ikev{tunnel.version}",
        f"{group} lifetime {within(DEVICE, 'lifetime', tunnel.ike.lifetime, *_LIFETIME)}",
        f"{group} proposal 1 dh-group {known_group(DEVICE, tunnel.ike, _GROUPS)}",
        *(f"{group} proposal 1 {line}" for line in _suite(tunnel.ike)),
    ]
    if tunnel.ike.aead:
        lines.append(f"{group} proposal 1 prf prf{_hash(tunnel.ike)}")
    if tunnel.aggressive:
        lines.append(f"{group} mode aggressive")
    if tunnel.dpd_action in _DPD:
        dpd = f"{group} dead-peer-detection"
        lines += [
            f"{dpd} action {_DPD[tunnel.dpd_action]}",
            f"{dpd} interval {within(DEVICE, 'dpd interval', tunnel.dpd_interval, *_DPD_TIME)}",
            f"{dpd} timeout {within(DEVICE, 'dpd timeout', tunnel.dpd_timeout, *_DPD_TIME)}",
        ]
    return lines


def _esp(tunnel: Tunnel) -> list[str]:
    group = f"esp-group {tunnel.label}"
    return [
        f"{group} lifetime {within(DEVICE, 'lifetime', tunnel.ipsec.lifetime, *_LIFETIME)}",
        f"{group} mode tunnel",
        f"{group} pfs dh-group{known_group(DEVICE, tunnel.ipsec, _GROUPS)}",
        *(f"{group} proposal 1 {line}" for line in _suite(tunnel.ipsec)),
    ]


def _suite(policy: Policy) -> list[str]:
    mode, bits, check = policy.cipher
    cipher = "3des" if mode == "3des" else f"aes{bits}" + ("" if mode == "cbc" else mode)
    return [
        f"encryption {cipher}{check * 8 if check else ''}",
        f"hash {_hash(policy)}",
    ]


def _hash(policy: Policy) -> str:
    return look_up(DEVICE, "auth_algorithm", policy.integrity, _HASHES)


def _key(tunnel: Tunnel) -> list[str]:
    psk = "put the pre-shared key here" if tunnel.psk is None else tunnel.psk
    group = f"authentication psk {tunnel.label}"
    return [
        f"{group} id {_id(tunnel, 'peer')}",
        f"{group} id {_id(tunnel, 'cloud')}",
        f"{group} secret {_quoted('psk', psk)}",
    ]


def _peer(tunnel: Tunnel) -> list[str]:
    peer = f"site-to-site peer {tunnel.label}"
    lines = [
        f"{peer} authentication mode pre-shared-secret",
        f"{peer} authentication local-id {_id(tunnel, 'peer')}",
        f"{peer} authentication remote-id {_id(tunnel, 'cloud')}",
        f"{peer} connection-type initiate",
        f"{peer} ike-group {tunnel.label}",
        f"{peer} default-esp-group {tunnel.label}",
        f"{peer} local-address '{_local_address(tunnel)}'",
        f"{peer} remote-address {tunnel.cloud_address}",
    ]
    for number, (here, there) in enumerate(tunnel.pairs, 1):
        lines += [
            f"{peer} tunnel {number} local prefix {here}",
            f"{peer} tunnel {number} remote prefix {there}",
        ]
    return lines


def _local_address(tunnel: Tunnel) -> str:
    """Return the device's address; it takes no host name, but any address."""
    address = need_address(DEVICE, tunnel)
    return address if is_ip(address) else "any"


def _id(tunnel: Tunnel, side: str) -> str:
    return _quoted(f"{side}'s identity", identity_text(DEVICE, side, tunnel))


def _quoted(what: str, text: str) -> str:
    return f"'{plain(DEVICE, what, text, chr(39) + chr(92))}'"
