"""libreswan 4: /etc/ipsec.d/NAME.conf, and NAME.secrets with the key."""

from __future__ import annotations

from swanherd_client.peers.words import (
    PRINTABLE,
    File,
    known_group,
    look_up,
    plain,
    remark,
)
from swanherd_client.tunnel import Identity, Kind, Policy, Tunnel, Unsayable

DEVICE = "libreswan"
_GROUPS = (14, 15, 16, 17, 18, 19, 20, 21, 31)
_GROUP_NAMES = {
    **{str(n): f"dh{n}" for n in _GROUPS},
}
_INTEGRITY = {
    "sha1": "sha1",
    "sha256": "sha2_256",
    "sha384": "sha2_384",
    "sha512": "sha2_512",
    "aes-xcbc": "aes_xcbc",
}
_DPD = {"clear": "clear", "hold": "hold", "restart": "restart", "restart-by-peer": "restart"}


def files(tunnel: Tunnel) -> tuple[File, ...]:
    """Return the device's files; the second only with the key."""
    name = tunnel.label
    lines = [f"# {remark(tunnel.name)}: the other side of connection {tunnel.id}", f"conn {name}"]
    lines += [f"    {key}={value}" for key, value in _settings(tunnel).items()]
    made = [File(f"{name}.conf", "\n".join(lines) + "\n")]
    if tunnel.psk is not None:
        ids = f"{_identity(tunnel.peer_id)} {_identity(tunnel.cloud_id)}"
        made.append(File(f"{name}.secrets", f"{ids} : PSK {_secret(tunnel.psk)}\n"))
    return tuple(made)


def _settings(tunnel: Tunnel) -> dict[str, str]:
    settings = {
        "ikev2": "insist" if tunnel.version == 2 else "never",
        "authby": "secret",
        "auto": "start",
        "left": "%defaultroute",
        "leftid": _quoted(_identity(tunnel.peer_id)),
        "leftsubnets": _networks(tunnel.peer_networks),
        # The kernel finds the tunnel by its policies, and the way to it by the default route.
        # pluto waits for the script: an IKEv1 quick mode isn't ended meanwhile, and peers give up.
        "leftupdown": '"%disabled"',
        "right": tunnel.cloud_address,
        "rightid": _quoted(_identity(tunnel.cloud_id)),
        "rightsubnets": _networks(tunnel.cloud_networks),
        "ike": _ike(tunnel),
        "ikelifetime": f"{tunnel.ike.lifetime}s",
        **_child(tunnel),
        "salifetime": f"{tunnel.ipsec.lifetime}s",
        "pfs": "yes",
        "type": "transport" if tunnel.transport else "tunnel",
    }
    if tunnel.aggressive:
        settings["aggressive"] = "yes"
    if tunnel.dpd_action in _DPD:
        settings["dpddelay"] = f"{tunnel.dpd_interval}s"
        settings["dpdtimeout"] = f"{tunnel.dpd_timeout}s"
        settings["dpdaction"] = _DPD[tunnel.dpd_action]
    return settings


def _ike(tunnel: Tunnel) -> str:
    integrity = look_up(DEVICE, "auth_algorithm", tunnel.ike.integrity, _INTEGRITY)
    return f"{_cipher(tunnel.ike)}-{integrity}-{_group(tunnel.ike)}"


def _child(tunnel: Tunnel) -> dict[str, str]:
    policy = tunnel.ipsec
    integrity = look_up(DEVICE, "auth_algorithm", policy.integrity, _INTEGRITY)
    if tunnel.version == 1 and policy.group > 18:
        raise Unsayable(f"{DEVICE} has no pfs group{policy.group} in an ipsecpolicy with IKEv1")
    if tunnel.protocol == "ah":
        return {"phase2": "ah", "phase2alg": f"{integrity};{_group(policy)}"}
    if tunnel.protocol != "esp":
        raise Unsayable(f"{DEVICE} has no transform_protocol {tunnel.protocol}")
    suite = _cipher(policy) if policy.aead else f"{_cipher(policy)}-{integrity}"
    return {"phase2": "esp", "phase2alg": f"{suite};{_group(policy)}"}


def _group(policy: Policy) -> str:
    return _GROUP_NAMES[str(known_group(DEVICE, policy, _GROUPS))]


def _cipher(policy: Policy) -> str:
    mode, bits, check = policy.cipher
    if mode == "3des":
        return "3des"
    if mode == "cbc":
        return f"aes{bits}"
    letter = {8: "_a", 12: "_b", 16: "_c"}.get(check, "")
    return f"aes_{mode}{letter}{bits}" if letter else f"aes_{mode}{bits}"


def _networks(networks: tuple[str, ...]) -> str:
    return "{" + ",".join(networks) + "}"


def _identity(found: Identity) -> str:
    """Return an identity by the marks that libreswan knows types by."""
    text = found.text
    if found.kind is Kind.KEYID or text is None or '"' in text:
        if found.kind is not Kind.KEYID:
            raise Unsayable(
                f"{DEVICE} can't hold an identity of kind {found.kind} with such bytes"
            )
        return f"@#0x{found.value.hex()}"
    match found.kind:
        case Kind.ADDRESS:
            return text
        case Kind.FQDN if not text.startswith(("#", "[", "~", "@")):
            return f"@{text}"
        case Kind.EMAIL if "@" in text and not text.startswith("@"):
            return text
    raise Unsayable(f"{DEVICE} can't hold this identity of kind {found.kind}")


def _quoted(text: str) -> str:
    return f'"{plain(DEVICE, "identity", text, chr(34))}"'


def _secret(psk: str) -> str:
    """Return the key as text where its quotes can hold it, else in hex."""
    if PRINTABLE.fullmatch(psk) and '"' not in psk and psk[:2].lower() not in ("0x", "0s"):
        return f'"{psk}"'
    return f"0x{psk.encode().hex()}"
