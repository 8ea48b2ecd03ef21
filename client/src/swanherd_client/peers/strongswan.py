"""strongSwan: /etc/swanctl/conf.d/, for `swanctl --load-all` (strongSwan 5.9 and later)."""

from __future__ import annotations

from swanherd_client.peers.words import PRINTABLE, File, look_up, remark
from swanherd_client.tunnel import Identity, Kind, Policy, Tunnel

DEVICE = "strongSwan"
_INTEGRITY = {
    **{name: name for name in ("sha1", "sha256", "sha384", "sha512")},
    "aes-xcbc": "aesxcbc",
    "aes-cmac": "aescmac",
}
_GROUPS = {
    "1": "modp768",
    "2": "modp1024",
    "5": "modp1536",
    "14": "modp2048",
    "15": "modp3072",
    "16": "modp4096",
    "17": "modp6144",
    "18": "modp8192",
    "19": "ecp256",
    "20": "ecp384",
    "21": "ecp521",
    "22": "modp1024s160",
    "23": "modp2048s224",
    "24": "modp2048s256",
    "25": "ecp192",
    "26": "ecp224",
    "27": "ecp224bp",
    "28": "ecp256bp",
    "29": "ecp384bp",
    "30": "ecp512bp",
    "31": "curve25519",
}
_DPD = {"restart": "restart", "hold": "trap", "restart-by-peer": "restart", "clear": "clear"}


def files(tunnel: Tunnel) -> tuple[File, ...]:
    """Return the device's file."""
    name = tunnel.label
    body = [f"# {remark(tunnel.name)}: the other side of connection {tunnel.id}"]
    body += [*_block("connections", _block(name, _connection(tunnel)))]
    secret = '"put the pre-shared key here"' if tunnel.psk is None else _secret(tunnel.psk)
    ids = {"id-here": tunnel.peer_id, "id-cloud": tunnel.cloud_id}
    lines = [f"{key} = {_identity(value)}" for key, value in ids.items()]
    lines.append(f"secret = {secret}")
    body += _block("secrets", _block(f"ike-{name}", lines))
    return (File(f"{name}.conf", "\n".join(body) + "\n"),)


def _connection(tunnel: Tunnel) -> list[str]:
    life = "rekey_time" if tunnel.version == 2 else "reauth_time"
    lines = [
        f"version = {tunnel.version}",
        f"remote_addrs = {tunnel.cloud_address}",
        f"proposals = {ike_proposal(tunnel.ike)}",
        f"{life} = {tunnel.ike.lifetime}s",
        "keyingtries = 0",
    ]
    if tunnel.aggressive:
        lines.append("aggressive = yes")
    if tunnel.dpd_action != "disabled":
        lines.append(f"dpd_delay = {tunnel.dpd_interval}s")
        if tunnel.version == 1:
            lines.append(f"dpd_timeout = {tunnel.dpd_timeout}s")
    lines += _block("local", ["auth = psk", f"id = {_identity(tunnel.peer_id)}"])
    lines += _block("remote", ["auth = psk", f"id = {_identity(tunnel.cloud_id)}"])
    children: list[str] = []
    for number, (here, there) in enumerate(tunnel.pairs, 1):
        children += _block(f"net{number}", _child(tunnel, here, there))
    return lines + _block("children", children)


def _child(tunnel: Tunnel, here: str, there: str) -> list[str]:
    key, proposal = child_proposal(tunnel)
    lines = [
        f"local_ts = {here}",
        f"remote_ts = {there}",
        f"{key} = {proposal}",
        f"life_time = {tunnel.ipsec.lifetime}s",
        f"rekey_time = {tunnel.ipsec.lifetime * 9 // 10}s",
        "start_action = start",
    ]
    if tunnel.transport:
        lines.append("mode = transport")
    if tunnel.dpd_action in _DPD:
        lines.append(f"dpd_action = {_DPD[tunnel.dpd_action]}")
    if not tunnel.cloud_initiates:
        lines.append("close_action = start")  # nobody else would bring it back
    return lines


def ike_proposal(policy: Policy) -> str:
    """Return the one proposal of the IKE SA in strongSwan's words."""
    integrity = look_up(DEVICE, "auth_algorithm", policy.integrity, _INTEGRITY)
    second = f"prf{integrity}" if policy.aead else integrity
    return f"{_cipher(policy)}-{second}-{group(policy)}"


def child_proposal(tunnel: Tunnel) -> tuple[str, str]:
    """Return the key and the one proposal of a child SA in strongSwan's words."""
    policy = tunnel.ipsec
    integrity = look_up(DEVICE, "auth_algorithm", policy.integrity, _INTEGRITY)
    key = look_up(
        DEVICE,
        "transform_protocol",
        tunnel.protocol,
        {"esp": "esp_proposals", "ah": "ah_proposals"},
    )
    if tunnel.protocol == "ah":
        return key, f"{integrity}-{group(policy)}"
    parts = [_cipher(policy), *([] if policy.aead else [integrity]), group(policy)]
    return key, "-".join(parts)


def group(policy: Policy) -> str:
    """Return the Diffie-Hellman group's name."""
    return look_up(DEVICE, "pfs group", policy.group, _GROUPS)


def _cipher(policy: Policy) -> str:
    mode, bits, check = policy.cipher
    if mode == "3des":
        return "3des"
    return f"aes{bits}" + ("" if mode == "cbc" else mode) + (str(check * 8) if check else "")


def _identity(found: Identity) -> str:
    """Return an identity that charon can't read as a wildcard or another type."""
    if found.kind is Kind.ADDRESS:
        return found.value.decode()
    text = found.text
    if text is None or text.startswith("#"):
        return f'"{found.kind}:#{found.value.hex()}"'
    return _quoted(f"{found.kind}:{text}")


def _secret(psk: str) -> str:
    """Return the key: as text where nothing in it has a meaning, else in hex."""
    if PRINTABLE.fullmatch(psk) and psk[:2].lower() not in ("0x", "0s"):
        return _quoted(psk)
    return f"0x{psk.encode().hex()}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _block(name: str, lines: list[str]) -> list[str]:
    return [f"{name} {{", *(f"  {line}" for line in lines), "}"]
