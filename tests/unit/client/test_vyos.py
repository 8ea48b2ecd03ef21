"""Each command for VyOS is one of its own grammar.

The grammar is that of interface-definitions/vpn_ipsec.xml.in in VyOS 1.4 (vyos-1x, sagitta), said
in our words: which nodes follow each other, and which values each takes.
"""

import itertools
import re

import pytest

from swanherd_client import peers
from swanherd_client.tunnel import Unsayable
from tests.unit.client import sample

NAME, TEXT = r"[a-zA-Z0-9_-]+", r"'[^']*'"
CIPHER = r"(3des|aes(128|192|256)((ctr)?|(ccm|gcm)(64|96|128)))"
HASH = r"(sha1|sha256|sha384|sha512|aesxcbc|aescmac)"
PROPOSAL = rf"proposal 1 (encryption {CIPHER}|hash {HASH})"
GROUP = r"(1|2|5|1[4-9]|2\d|3[0-2])"
SECONDS = r"\d+"
PREFIX = r"[0-9a-f.:]+/\d+"
DPD = rf"dead-peer-detection (action (trap|clear|restart)|(interval|timeout) {SECONDS})"
IKE = rf"key-exchange ikev[12]|lifetime {SECONDS}|mode aggressive|{DPD}|{PROPOSAL}"
ESP = rf"lifetime {SECONDS}|mode tunnel|pfs dh-group{GROUP}|{PROPOSAL}"
PEER = (
    rf"authentication (mode pre-shared-secret|(local|remote)-id {TEXT})|connection-type initiate"
    rf"|ike-group {NAME}|default-esp-group {NAME}|local-address {TEXT}|remote-address \S+"
    rf"|tunnel \d+ (local|remote) prefix {PREFIX}"
)
COMMAND = re.compile(
    rf"set vpn ipsec (ike-group {NAME} ({IKE}|proposal 1 (dh-group {GROUP}|prf prf{HASH}))"
    rf"|esp-group {NAME} ({ESP})|authentication psk {NAME} (id|secret) {TEXT}"
    rf"|site-to-site peer {NAME} ({PEER}))"
)

# The node's constraint: an address, or "any"; no host name.
LOCAL_ADDRESS = re.compile(r"local-address '([0-9a-f.:]+|any)'")

CIPHERS = ["3des", "aes-128", "aes-256-ctr"]
CIPHERS += [
    f"aes-{bits}-{mode}-{n}" for bits in (192, 256) for mode in ("ccm", "gcm") for n in (8, 16)
]
HASHES = ["sha1", "sha256", "sha384", "sha512", "aes-xcbc", "aes-cmac"]
POLICIES = [
    {"encryption_algorithm": cipher, "auth_algorithm": hashed}
    for cipher, hashed in itertools.product(CIPHERS, HASHES)
]
POLICIES += [{"pfs": f"group{number}"} for number in (2, 5, *range(14, 32))]


@pytest.mark.parametrize("kind", ["ike", "ipsec"])
def test_every_policy_is_said_in_its_grammar(kind):
    """Or it is refused by name."""
    for policy in POLICIES:
        try:
            (file,) = peers.export("vyos", sample.tunnel(**{kind: policy}))
        except Unsayable:
            continue
        commands = [line for line in file.text.splitlines() if not line.startswith("#")]
        assert commands
        assert [line for line in commands if not COMMAND.fullmatch(line)] == []


@pytest.mark.parametrize(
    "changes",
    [
        {"ike": {"ike_version": "v1", "phase1_negotiation_mode": "aggressive"}},
        {"peer_address": "2001:db8::2", "local": ("fd91::/64",), "peer": ("fd92::/64",)},
        {"peer_id": "branch@example.org", "local_id": "gate.example.org"},
        *(
            {"dpd": {"action": action, "interval": 30, "timeout": 120}}
            for action in ("clear", "hold")
        ),
    ],
)
def test_every_kind_of_connection_is_said_in_its_grammar(changes):
    """Modes, families, identities and what a silent peer leads to."""
    (file,) = peers.export("vyos", sample.tunnel(**changes), "correct horse battery")
    commands = [line for line in file.text.splitlines() if not line.startswith("#")]
    assert [line for line in commands if not COMMAND.fullmatch(line)] == []


@pytest.mark.parametrize("address", ["192.0.2.2", "2001:db8::2", "office.example"])
def test_the_device_listens_on_an_address_or_on_any(address):
    """A peer that the cloud knows by a host name may have another address tomorrow."""
    (file,) = peers.export("vyos", sample.tunnel(peer_address=address))
    (line,) = (line for line in file.text.splitlines() if " local-address " in line)
    assert LOCAL_ADDRESS.search(line)
