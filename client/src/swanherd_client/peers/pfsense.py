"""pfSense 2.7: what to enter in VPN > IPsec.

pfSense reads a configuration only as a whole section, which replaces every other tunnel; so this
is a sheet for a person, by the form's own labels.
"""

from __future__ import annotations

from swanherd_client.peers.words import (
    UNTESTED,
    File,
    identity_text,
    known_group,
    look_up,
    only_esp_tunnels,
    plain,
    remark,
)
from swanherd_client.tunnel import Kind, Policy, Tunnel, Unsayable

DEVICE = "pfSense"
_GROUPS = (1, 2, 5, *range(14, 25), *range(27, 32))
_HASHES = {
    "sha1": "SHA1",
    "sha256": "SHA256",
    "sha384": "SHA384",
    "sha512": "SHA512",
    "aes-xcbc": "AES-XCBC",
}
_KINDS = {
    Kind.ADDRESS: "IP address",
    Kind.FQDN: "Fully qualified domain name",
    Kind.EMAIL: "User distinguished name",
    Kind.KEYID: "KeyID tag",
}


def files(tunnel: Tunnel) -> tuple[File, ...]:
    """Return the sheet."""
    only_esp_tunnels(DEVICE, tunnel)
    lines = [f"{remark(tunnel.name)}: the other side of connection {tunnel.id}", UNTESTED, ""]
    lines += _section("VPN > IPsec > Tunnels > Add P1", _phase1(tunnel))
    for here, there in tunnel.pairs:
        lines += _section("Show Phase 2 Entries > Add P2", _phase2(tunnel, here, there))
    return (File(f"{tunnel.label}-pfsense.txt", "\n".join(lines)),)


def _phase1(tunnel: Tunnel) -> dict[str, str]:
    psk = "(your pre-shared key)"
    if tunnel.psk is not None:
        psk = plain(DEVICE, "psk", tunnel.psk, "")
    mode = {"Negotiation mode": "Aggressive" if tunnel.aggressive else "Main"}
    return {
        "Description": tunnel.label,
        "Key Exchange version": f"IKEv{tunnel.version}",
        "Internet Protocol": f"IPv{tunnel.outer_version}",
        "Remote Gateway": tunnel.cloud_address,
        "Authentication Method": "Mutual PSK",
        **(mode if tunnel.version == 1 else {}),
        "My identifier": f"{_KINDS[tunnel.peer_id.kind]}: {identity_text(DEVICE, 'peer', tunnel)}",
        "Peer identifier": (
            f"{_KINDS[tunnel.cloud_id.kind]}: {identity_text(DEVICE, 'cloud', tunnel)}"
        ),
        "Pre-Shared Key": psk,
        **_suite(tunnel.ike),
        "DH Group": str(known_group(DEVICE, tunnel.ike, _GROUPS)),
        "Life Time": str(tunnel.ike.lifetime),
        "Dead Peer Detection": "off" if tunnel.dpd_action == "disabled" else "on",
        "DPD delay": str(tunnel.dpd_interval),
    }


def _phase2(tunnel: Tunnel, here: str, there: str) -> dict[str, str]:
    return {
        "Mode": f"Tunnel IPv{tunnel.inner_version}",
        "Local Network": f"Network {here}",
        "NAT/BINAT translation": "None",
        "Remote Network": f"Network {there}",
        "Protocol": "ESP",
        **_suite(tunnel.ipsec),
        "PFS key group": str(known_group(DEVICE, tunnel.ipsec, _GROUPS)),
        "Life Time": str(tunnel.ipsec.lifetime),
    }


def _suite(policy: Policy) -> dict[str, str]:
    mode, bits, check = policy.cipher
    hashed = look_up(DEVICE, "auth_algorithm", policy.integrity, _HASHES)
    if mode == "cbc":
        return {"Encryption": f"AES {bits} bits", "Hash": hashed}
    if mode == "gcm":
        return {"Encryption": f"AES{bits}-GCM {check * 8} bits", "Hash": hashed}
    raise Unsayable(f"{DEVICE} has no encryption_algorithm {policy.encryption}")


def _section(title: str, entries: dict[str, str]) -> list[str]:
    width = max(map(len, entries))
    return [title, *(f"  {key:{width}}  {value}" for key, value in entries.items()), ""]
