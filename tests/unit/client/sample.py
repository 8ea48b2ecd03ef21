"""Rows as the API returns them, valid by default."""

from swanherd_client.tunnel import from_rows

ID = "5a7e0de0-0000-4000-8000-000000000001"


def policy(**changes):
    return {
        "encryption_algorithm": "aes-256",
        "auth_algorithm": "sha256",
        "pfs": "group19",
        "lifetime": {"units": "seconds", "value": 3600},
        "ike_version": "v2",
        "phase1_negotiation_mode": "main",
        "transform_protocol": "esp",
        "encapsulation_mode": "tunnel",
        **changes,
    }


def connection(**changes):
    return {
        "id": ID,
        "name": "office",
        "peer_address": "192.0.2.2",
        "peer_id": "192.0.2.2",
        "local_id": "",
        "psk": "correct horse",
        "initiator": "bi-directional",
        "dpd": {"action": "hold", "interval": 30, "timeout": 120},
        **changes,
    }


def tunnel(ike=(), ipsec=(), local=("10.91.0.0/24",), peer=("10.92.0.0/24",), **changes):
    return from_rows(
        connection(**changes),
        {"external_v4_ip": "192.0.2.1", "external_v6_ip": "2001:db8::1"},
        policy(**dict(ike)),
        policy(**dict(ipsec)),
        (local, peer),
    )
