"""A peer's configuration says what the API says, or refuses by name."""

import itertools
import pathlib
import shlex
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanherd.core.model import IkePolicy, IkeVersion, Phase1Mode
from swanherd.swan import identity as gateway
from swanherd.swan import proposals
from swanherd_client import peers
from swanherd_client.peers import strongswan
from swanherd_client.tunnel import Kind, Unsayable, gather, identity
from tests.unit.client import sample

PSK = "s3cr3t-s3cr3t"
CIPHERS = ["aes-128", "aes-192", "aes-256", "3des", "aes-256-ctr"]
CIPHERS += [f"aes-256-{mode}-{n}" for mode in ("ccm", "gcm") for n in (8, 12, 16)]
HASHES = ["sha1", "sha256", "sha384", "sha512", "aes-xcbc", "aes-cmac"]
ids = st.text(
    string.ascii_letters + string.digits + "@#:*.%-_\"'\\{}$`=;é", min_size=1, max_size=20
)


def text(device, tunnel, psk=None):
    return "".join(file.text for file in peers.export(device, tunnel, psk))


@pytest.mark.parametrize("device", peers.DEVICES)
def test_the_key_is_there_only_when_it_is_asked_for(device):
    """Without it no device's file holds it, nor does any repr."""
    tunnel = sample.tunnel()
    assert PSK not in text(device, tunnel)
    assert PSK in text(device, tunnel, PSK)
    assert PSK not in repr(peers.export(device, tunnel, PSK))


@pytest.mark.parametrize("device", peers.DEVICES)
def test_what_nobody_has_tried_says_so_itself(device):
    """The file warns, and where tests have booted such a file it doesn't."""
    untested = peers.DEVICES[device].proof == "untested"
    assert ("UNTESTED" in text(device, sample.tunnel())) is untested


@pytest.mark.parametrize("device", peers.DEVICES)
def test_the_users_guide_says_what_nobody_has_tried(device):
    """Its table has each device, and calls those untested that are."""
    guide = pathlib.Path(__file__).parents[3] / "docs" / "user-guide.md"
    (row,) = (
        line
        for line in guide.read_text().splitlines()
        if line.startswith("|") and f"`{device}`" in line
    )
    assert ("untested" in row) is (peers.DEVICES[device].proof == "untested")


@pytest.mark.parametrize("device", peers.DEVICES)
def test_every_pair_of_networks_and_the_address_are_told(device):
    """No network of either side is missing."""
    tunnel = sample.tunnel(local=("10.91.0.0/24", "10.94.0.0/24"), peer=("10.92.0.0/24",))
    said = text(device, tunnel)
    assert all(part in said for part in ("10.91.0.0", "10.94.0.0", "10.92.0.0", "192.0.2.1"))


@pytest.mark.parametrize("device", peers.DEVICES)
@pytest.mark.parametrize("spelling", ["10.92.0.7/24", "10.92.0.0/255.255.255.0"])
def test_a_network_is_told_in_its_one_spelling(device, spelling):
    """The API takes host bits and masks; the device gets what the cloud's gateway has."""
    assert text(device, sample.tunnel(peer=(spelling,))) == text(device, sample.tunnel())
    # Rows that neutron-vpnaas wrote may have both.
    both = sample.tunnel(peer=("10.92.0.0/24", spelling))
    assert text(device, both) == text(device, sample.tunnel())


def test_an_identity_is_no_option():
    """One that begins with a hyphen is the option's value, on either side."""
    said = text("openstack", sample.tunnel(peer_id="--x", local_id="-y"))
    assert {"--local-id=--x", "--peer-id=-y"} <= set(shlex.split(said))


@pytest.mark.parametrize("device", peers.DEVICES)
def test_a_hostile_name_stays_in_its_comment(device):
    """Whatever a connection is called, each line is one that a harmless name has too."""
    harmless = text(device, sample.tunnel(name="x")).splitlines()
    hostile = text(device, sample.tunnel(name="x\nrm -rf /\r!\u2028?\\")).splitlines()
    assert len(hostile) == len(harmless)
    assert [a for a, b in zip(harmless, hostile, strict=True) if a != b] == [
        line for line in harmless if "the other side of connection" in line
    ]


@given(ids)
def test_identities_have_the_types_that_the_gateway_gives_them(said):
    """The library reads an identity as Swanherd's own gateway does."""
    found = identity(said)
    rendered = gateway.render(said)
    if found.kind is Kind.ADDRESS:
        assert rendered.startswith("ipv")
    else:
        kind, _, value = rendered.partition(":")
        raw = bytes.fromhex(value[1:]) if value.startswith("#") else value.encode()
        assert (found.kind, found.value) == (kind, raw)


@pytest.mark.parametrize(("cipher", "hashed"), itertools.product(CIPHERS, HASHES))
def test_strongswan_is_told_the_proposal_that_the_gateway_has(cipher, hashed):
    """One table of words on both sides of the wire."""
    ours = IkePolicy(IkeVersion.V2, Phase1Mode.MAIN, cipher, hashed, "group20", 3600)
    tunnel = sample.tunnel(
        ike={"encryption_algorithm": cipher, "auth_algorithm": hashed, "pfs": "group20"}
    )
    assert strongswan.ike_proposal(tunnel.ike) == proposals.ike_proposal(ours)


@given(st.text(string.printable.strip() + " ", min_size=1))
def test_a_shell_reads_the_key_of_the_script_as_it_is(psk):
    """Quotes, dollars and backticks of a key mean nothing in the OpenStack script."""
    said = text("openstack", sample.tunnel(), psk)
    lines = [line for line in said.splitlines() if line.startswith("PSK=")]
    assert shlex.split("".join(lines)) == [f"PSK={psk}"]


@pytest.mark.parametrize(
    ("device", "changes", "named"),
    [
        ("cisco-ios-xe", {"ipsec": {"encryption_algorithm": "aes-256-ctr"}}, "aes-256-ctr"),
        ("cisco-ios-xe", {"ike": {"pfs": "group31"}}, "group31"),
        ("cisco-ios-xe", {"local": ("fd91::/64",), "peer": ("fd92::/64",)}, "IPv6"),
        ("fortigate", {"ike": {"auth_algorithm": "aes-xcbc"}}, "aes-xcbc"),
        ("fortigate", {"ipsec": {"transform_protocol": "ah"}}, "ah"),
        (
            "cisco-ios-xe",
            {
                "ike": {"ike_version": "v1", "encryption_algorithm": "aes-256-gcm-16"},
                "local_id": "192.0.2.1",
            },
            "aes-256-gcm-16",
        ),
        ("vyos", {"peer_id": "it's"}, "identity"),
        ("vyos", {"peer_address": "0.0.0.0"}, "peer_address"),
        ("openstack", {"peer_address": "0.0.0.0"}, "peer_address"),
        ("libreswan", {"ike": {"pfs": "group25"}}, "group25"),
        ("libreswan", {"ike": {"ike_version": "v1"}}, "group19"),
        ("pfsense", {"ipsec": {"encapsulation_mode": "transport"}}, "transport"),
        ("vyos", {"ike": {"lifetime": {"units": "seconds", "value": 86401}}}, "86401"),
        ("vyos", {"dpd": {"action": "hold", "interval": 1, "timeout": 9}}, "dpd interval"),
        ("cisco-ios-xe", {"ike": {"lifetime": {"units": "seconds", "value": 86401}}}, "86401"),
        ("cisco-ios-xe", {"ipsec": {"lifetime": {"units": "seconds", "value": 60}}}, "not 60"),
        ("fortigate", {"ipsec": {"lifetime": {"units": "seconds", "value": 172801}}}, "172801"),
    ],
)
def test_what_a_device_cannot_say_is_refused_by_name(device, changes, named):
    """The sentence has the device's and the value's name."""
    with pytest.raises(Unsayable, match=named) as refused:
        peers.export(device, sample.tunnel(**changes))
    assert peers.DEVICES[device].title.split()[0].lower() in str(refused.value).lower() or (
        device == "openstack"
    )


@pytest.mark.parametrize(
    ("device", "psk"),
    [
        ("vyos", "it's"),
        ("cisco-ios-xe", "what?"),
        ("fortigate", "é" * 8),
        ("fortigate", "0xabcdef"),
    ],
)
def test_a_key_that_a_device_cannot_hold_is_refused_and_not_told(device, psk):
    """The sentence doesn't show the key."""
    with pytest.raises(Unsayable) as refused:
        peers.export(device, sample.tunnel(), psk)
    assert psk not in str(refused.value)


def test_a_connection_is_gathered_from_the_api():
    """Groups, subnets, policies and the key come from one connection's id."""
    rows = {
        f"vpn/ipsec-site-connections/{sample.ID}": sample.connection(
            vpnservice_id="s", ikepolicy_id="i", ipsecpolicy_id="e",
            local_ep_group_id="l", peer_ep_group_id="p", peer_cidrs=[],
        ),
        "vpn/vpnservices/s": {"subnet_id": None, "external_v4_ip": "192.0.2.1"},
        "vpn/endpoint-groups/l": {"endpoints": ["net"]},
        "vpn/endpoint-groups/p": {"endpoints": ["10.92.0.0/24"]},
        "subnets/net": {"cidr": "10.91.0.0/24"},
        "vpn/ikepolicies/i": sample.policy(),
        "vpn/ipsecpolicies/e": sample.policy(),
    }  # fmt: skip
    assert gather(rows.__getitem__, sample.ID) == (sample.tunnel(), "correct horse")


def test_without_a_public_address_nothing_is_exported():
    """The sentence says what is missing."""
    with pytest.raises(Unsayable, match="no public IPv6 address"):
        sample.from_rows(
            sample.connection(peer_address="2001:db8::2"),
            {"external_v4_ip": "192.0.2.1"},
            sample.policy(),
            sample.policy(),
            (["10.91.0.0/24"], ["10.92.0.0/24"]),
        )
