"""Cisco IOS-XE 17: a crypto map; lines that are typed in `configure terminal`."""

from __future__ import annotations

import ipaddress

from swanherd_client.peers.words import (
    UNTESTED,
    File,
    identity_text,
    is_address,
    known_group,
    look_up,
    only_esp_tunnels,
    only_ipv4,
    plain,
    remark,
    within,
)
from swanherd_client.tunnel import Kind, Policy, Tunnel, Unsayable

DEVICE = "Cisco IOS-XE"
_GROUPS = (1, 2, 5, 14, 15, 16, 19, 20, 21, 24)
_HASHES = {
    "sha1": "sha1",
    "sha256": "sha256",
    "sha384": "sha384",
    "sha512": "sha512",
}
_ESP_HASHES = {"sha1": "sha", **{name: name for name in ("sha256", "sha384", "sha512")}}
_KINDS = {Kind.ADDRESS: "address", Kind.FQDN: "fqdn", Kind.EMAIL: "email", Kind.KEYID: "key-id"}


def files(tunnel: Tunnel) -> tuple[File, ...]:
    """Return what is typed."""
    only_esp_tunnels(DEVICE, tunnel)
    only_ipv4(DEVICE, tunnel)
    if tunnel.aggressive:
        raise Unsayable(f"{DEVICE}: phase1_negotiation_mode aggressive isn't supported here")
    name = tunnel.label
    lines = [f"! {remark(tunnel.name)}: the other side of connection {tunnel.id}", f"! {UNTESTED}"]
    lines += _ikev2(tunnel) if tunnel.version == 2 else _ikev1(tunnel)
    lines += _transform(tunnel)
    lines += [f"ip access-list extended {name}"]
    lines += [f" permit ip {_wild(here)} {_wild(there)}" for here, there in tunnel.pairs]
    lines += [f"crypto map {name} 10 ipsec-isakmp", f" set peer {tunnel.cloud_address}"]
    lines += [f" set transform-set {name}", f" set pfs group{_group(tunnel.ipsec)}"]
    if tunnel.version == 2:
        lines.append(f" set ikev2-profile {name}")
    seconds = within(DEVICE, "lifetime", tunnel.ipsec.lifetime, 120, 2592000)
    lines += [f" set security-association lifetime seconds {seconds}"]
    lines += [f" match address {name}"]
    lines += ["! On the interface to the internet:", f"!  crypto map {name}"]
    lines += ["! And exempt these networks from NAT there."]
    return (File(f"{name}.ios", "\n".join(lines) + "\n"),)


def _ikev2(tunnel: Tunnel) -> list[str]:
    name, policy = tunnel.label, tunnel.ike
    mode, bits, check = policy.cipher
    hashed = look_up(DEVICE, "auth_algorithm", policy.integrity, _HASHES)
    lines = [f"crypto ikev2 proposal {name}"]
    if mode == "gcm" and check == 16 and bits != 192:
        lines += [f" encryption aes-gcm-{bits}", f" prf {hashed}"]
    elif mode in ("cbc", "3des"):
        cipher = f"aes-cbc-{bits}" if mode == "cbc" else "3des"
        lines += [f" encryption {cipher}", f" integrity {hashed}"]
    else:
        raise Unsayable(f"{DEVICE} has no IKE encryption_algorithm {policy.encryption}")
    lines += [f" group {_group(policy)}", f"crypto ikev2 policy {name}", f" proposal {name}"]
    lines += [f"crypto ikev2 keyring {name}", f" peer {name}"]
    lines += [f"  address {tunnel.cloud_address}", f"  pre-shared-key {_key(tunnel)}"]
    remote = _KINDS[tunnel.cloud_id.kind] + " " + _identity(tunnel, "cloud")
    local = _KINDS[tunnel.peer_id.kind] + " " + _identity(tunnel, "peer")
    mask = " 255.255.255.255" if is_address(tunnel.cloud_id.kind) else ""
    lines += [f"crypto ikev2 profile {name}", f" match identity remote {remote}{mask}"]
    lines += [f" identity local {local}", " authentication local pre-share"]
    lines += [" authentication remote pre-share", f" keyring local {name}"]
    lines += [f" lifetime {within(DEVICE, 'lifetime', policy.lifetime, 120, 86400)}"]
    if tunnel.dpd_action != "disabled":
        interval = within(DEVICE, "dpd interval", max(tunnel.dpd_interval, 10), 10, 3600)
        lines.append(f" dpd {interval} 2 periodic")
    return lines


def _ikev1(tunnel: Tunnel) -> list[str]:
    policy = tunnel.ike
    mode, bits, _ = policy.cipher
    hashed = look_up(DEVICE, "auth_algorithm", policy.integrity, _ESP_HASHES)
    if mode not in ("cbc", "3des"):
        raise Unsayable(f"{DEVICE} has no IKEv1 encryption_algorithm {policy.encryption}")
    if not (is_address(tunnel.cloud_id.kind) and is_address(tunnel.peer_id.kind)):
        raise Unsayable(f"{DEVICE}: identities of IKEv1 must be addresses here")
    lines = ["crypto isakmp policy 10"]
    lines += [f" encryption {'aes ' + str(bits) if mode == 'cbc' else '3des'}", f" hash {hashed}"]
    lines += [" authentication pre-share", f" group {_group(policy)}"]
    lines += [f" lifetime {within(DEVICE, 'lifetime', policy.lifetime, 60, 86400)}"]
    lines += [f"crypto isakmp key {_key(tunnel)} address {tunnel.cloud_address}"]
    return lines


def _transform(tunnel: Tunnel) -> list[str]:
    policy = tunnel.ipsec
    mode, bits, check = policy.cipher
    hashed = look_up(DEVICE, "auth_algorithm", policy.integrity, _ESP_HASHES)
    if mode == "gcm" and check == 16:
        suite = f"esp-gcm {bits}"
    elif mode in ("cbc", "3des"):
        suite = (f"esp-aes {bits}" if mode == "cbc" else "esp-3des") + f" esp-{hashed}-hmac"
    else:
        raise Unsayable(f"{DEVICE} has no IPsec encryption_algorithm {policy.encryption}")
    return [f"crypto ipsec transform-set {tunnel.label} {suite}", " mode tunnel"]


def _group(policy: Policy) -> int:
    return known_group(DEVICE, policy, _GROUPS)


def _key(tunnel: Tunnel) -> str:
    # A question mark asks for help, and a key that begins with "0 " or "6 " says how it is stored.
    return (
        plain(DEVICE, "psk", tunnel.psk, " ?\"'") if tunnel.psk is not None else "PUT-THE-KEY-HERE"
    )


def _identity(tunnel: Tunnel, side: str) -> str:
    return plain(DEVICE, f"{side}'s identity", identity_text(DEVICE, side, tunnel), " ?\"'")


def _wild(cidr: str) -> str:
    network = ipaddress.IPv4Network(cidr)
    return f"{network.network_address} {network.hostmask}"
