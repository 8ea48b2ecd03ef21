import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanherd.core.model import (
    DataPlane,
    Encapsulation,
    IkePolicy,
    IkeVersion,
    IpsecPolicy,
    Phase1Mode,
    TrafficSelector,
    Transform,
)
from swanherd.core.validation import (
    Invalid,
    Rule,
    check_data_planes,
    check_dpd,
    check_endpoints,
    check_identity,
    check_ike_policy,
    check_ipsec_policy,
    check_mtu,
    check_policy_pair,
    check_psk,
    check_sides,
    clash,
    family_of_cidrs,
    family_of_group,
    make_selectors,
    parse_network,
    parse_peer_cidrs,
    peer_ip,
    whole_number,
)

NETWORKS = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).flatmap(
    lambda address: st.integers(0, address.max_prefixlen).map(
        lambda length: ipaddress.ip_network(f"{address}/{length}", strict=False)
    )
)


def rule_of(check, *args, **kwargs):
    with pytest.raises(Invalid) as caught:
        check(*args, **kwargs)
    return caught.value.rule


def refusal(check, *args, **kwargs):
    """Return the rule's objection, None if there is none."""
    try:
        check(*args, **kwargs)
    except Invalid as invalid:
        return invalid
    return None


def ike(**changes):
    values = {
        "version": IkeVersion.V1,
        "mode": Phase1Mode.MAIN,
        "encryption": "aes-128",
        "integrity": "sha1",
        "dh_group": "group5",
        "lifetime": 3600,
    }
    return IkePolicy(**{**values, **changes})


def ipsec(**changes):
    values = {
        "transform": Transform.ESP,
        "mode": Encapsulation.TUNNEL,
        "encryption": "aes-128",
        "integrity": "sha1",
        "dh_group": "group5",
        "lifetime": 3600,
    }
    return IpsecPolicy(**{**values, **changes})


@given(st.lists(NETWORKS, max_size=4), st.lists(NETWORKS, max_size=4), st.randoms())
def test_selectors_are_every_pair_of_one_family_in_one_order(local, remote, random):
    """Selectors don't depend on the order or repetition of what they are made of."""
    made = make_selectors(local, remote)
    shuffled = [*local, *local]
    random.shuffle(shuffled)
    assert make_selectors(shuffled, reversed(remote)) == made
    assert {(s.local, s.remote) for s in made} == {
        (here, there) for here in local for there in remote if here.version == there.version
    }


@given(NETWORKS)
def test_a_network_parses_to_itself_with_host_bits_cleared(network):
    """Any spelling of a network within it is the network."""
    assert parse_network(str(network)) == network
    assert parse_network(f"{network.broadcast_address}/{network.prefixlen}") == network


@pytest.mark.parametrize(
    "text", ["", "x", "10.0.0.0/33", "10.0.0.0/-1", "fe80::%x/64", "fd00::1%x/64", " 1.1.1.1/8"]
)
def test_what_is_no_network_is_refused(text):
    """A text that no firewall rule could hold never becomes a network."""
    assert rule_of(parse_network, text) is Rule.PEER_CIDR


@given(st.text(max_size=300))
def test_an_identity_that_passes_is_visible_and_fits(text):
    """What is accepted has no whitespace or control character and fits its column."""
    refused = refusal(check_identity, "peer_id", text, required=True)
    if refused:
        assert "peer_id" in refused.text
    else:
        assert 1 <= len(text) <= 255
        assert text.isprintable() or not any(c.isspace() for c in text)
        assert not any(ord(c) < 33 or ord(c) == 127 for c in text)
        text.encode()


@given(st.text(max_size=300))
def test_a_psk_that_passes_is_visible_in_full(text):
    """A key has no character that gets lost when a person copies it."""
    refused = refusal(check_psk, text)
    if refused:
        assert "psk" in refused.text
    else:
        assert text == text.strip()
        assert 1 <= len(text) <= 255
        assert not {"\n", "\r", "\t", "\0"} & set(text)
        text.encode()


def test_a_pass_phrase_is_a_psk():
    """A space within a key is part of it."""
    check_psk("correct horse battery staple")


@given(st.integers(-5, 2**40), st.integers(-5, 2**40))
def test_dpd_that_passes_asks_before_it_gives_up(interval, timeout):
    """Accepted values fit the column and the timeout is greater than the interval."""
    refused = refusal(check_dpd, interval, timeout)
    if refused:
        assert refused.rule in (Rule.VALUE, Rule.DPD_TIMEOUT)
    else:
        assert 0 <= interval < timeout < 2**31


@pytest.mark.parametrize(
    ("mtu", "version", "ok"),
    [(67, 4, 0), (68, 4, 1), (1279, 6, 0), (1280, 6, 1), (0, 4, 1), (0, 6, 1), (10**12, 4, 0)],
)
def test_mtu_follows_the_inner_family(mtu, version, ok):
    """68 octets for IPv4, 1280 for IPv6, 0 for whatever comes."""
    if ok:
        check_mtu(mtu, version)
    else:
        assert rule_of(check_mtu, mtu, version) in (Rule.MTU, Rule.VALUE)


@pytest.mark.parametrize("value", [True, None, 1.5, "x", "", "-1", "٣", [1], "9" * 5000])
def test_what_is_no_whole_number_is_refused(value):
    """Neutron's validators let text and fractions pass; a column doesn't."""
    assert rule_of(whole_number, "field", value) is Rule.VALUE


def test_numbers_as_text_are_numbers():
    """Clients send numbers as text."""
    assert whole_number("field", "4000") == whole_number("field", 4000) == 4000


@pytest.mark.parametrize("encryption", ["aes-128-ctr", "aes-256-gcm-16", "aes-192-ccm-8"])
def test_ikev1_refuses_what_it_has_no_word_for(encryption):
    """AEAD and counter mode exist only in IKEv2's own exchange."""
    assert rule_of(check_ike_policy, ike(encryption=encryption)) is Rule.UNSUPPORTED
    check_ike_policy(ike(encryption=encryption, version=IkeVersion.V2))


@pytest.mark.parametrize("integrity", ["aes-xcbc", "aes-cmac"])
def test_ikev1_refuses_aes_as_integrity(integrity):
    """The MACs from AES exist only in IKEv2's own exchange."""
    assert rule_of(check_ike_policy, ike(integrity=integrity)) is Rule.UNSUPPORTED
    check_ike_policy(ike(integrity=integrity, version=IkeVersion.V2))


def test_what_a_child_sa_cannot_be_is_refused():
    """Both transforms at once, and CMAC under IKEv1."""
    assert rule_of(check_ipsec_policy, ipsec(transform=Transform.AH_ESP)) is Rule.UNSUPPORTED
    cmac = ipsec(integrity="aes-cmac")
    check_ipsec_policy(cmac)
    assert rule_of(check_policy_pair, ike(), cmac) is Rule.UNSUPPORTED
    check_policy_pair(ike(version=IkeVersion.V2), cmac)
    check_policy_pair(ike(), ipsec(integrity="aes-xcbc"))


@pytest.mark.parametrize(
    ("policy", "key", "value"),
    [
        (ipsec(transform=Transform.AH), "transform_protocol", "ah"),
        (ipsec(mode=Encapsulation.TRANSPORT), "encapsulation_mode", "transport"),
    ],
)
def test_what_no_gateway_can_do_is_refused_by_name(policy, key, value):
    """If all tell that they can't: one that can, one that doesn't tell, or none is no reason."""
    kernel, userspace = DataPlane.KERNEL, DataPlane.USERSPACE
    with pytest.raises(Invalid) as refused:
        check_data_planes(policy, {userspace})
    assert refused.value.rule is Rule.UNSUPPORTED
    assert (refused.value.details["key"], refused.value.details["value"]) == (key, value)
    for planes in ((), (kernel,), (userspace, kernel), (kernel, userspace), (userspace, None)):
        check_data_planes(policy, planes)
    check_data_planes(policy, (None, userspace))
    check_data_planes(ipsec(), {userspace})


@pytest.mark.parametrize("lifetime", [59, 2**31])
def test_a_lifetime_that_no_column_or_peer_takes_is_refused(lifetime):
    """From a minute to what the column holds."""
    assert rule_of(check_ike_policy, ike(lifetime=lifetime)) is Rule.VALUE
    assert rule_of(check_ipsec_policy, ipsec(lifetime=lifetime)) is Rule.VALUE


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("198.51.100.1", 4),
        ("2001:db8::1", 6),
        ("0.0.0.0", 4),
        ("::", 6),
        ("10.0.0.1", 4),
        ("169.254.7.7", 4),
        ("fd00::1", 6),
        ("fe80::c0a8:10a", 6),  # neutron-vpnaas' own tests have it
        ("vpn.example.org", None),
        ("vpn.example.org.", None),
        ("localhost", None),
    ],
)
def test_a_peer_is_an_address_or_a_name(text, family):
    """The family is known for addresses."""
    assert peer_ip(text) == family


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "a b", "a\nb", "-a", "a-.b", "%any", "ä.example"),
        *("1", "1.2.3", "0x7f000001", "127.0x1", "fe80::1%eth0", "224.0.0.1", "ff02::1"),
        *("a" * 64, "a." * 200 + "b", "127.0.0.1", "::1", "255.255.255.255"),
        *("::ffff:198.51.100.1", "0.0.0.1", "240.0.0.1"),
    ],
)
def test_what_is_neither_is_refused(text):
    """No other notation of an address, no pattern, no zone, nothing that a resolver misreads,
    and no address that only the gateway itself has, or nobody.
    """
    assert rule_of(peer_ip, text) is Rule.PEER_ADDRESS


@pytest.mark.parametrize(
    ("has_subnet", "cidrs", "local", "peer", "rule"),
    [
        (True, ["10.9.0.0/24"], None, None, None),
        (False, [], "l", "p", None),
        (True, [], None, None, Rule.MISSING_PEER_CIDRS),
        (True, ["10.9.0.0/24"], "l", None, Rule.GROUPS_WITH_SUBNET),
        (False, ["10.9.0.0/24"], "l", "p", Rule.PEER_CIDRS_WITH_GROUPS),
        (False, [], "l", None, Rule.MISSING_GROUPS),
        (False, [], None, None, Rule.MISSING_GROUPS),
    ],
)
def test_the_two_ways_to_name_networks_do_not_mix(has_subnet, cidrs, local, peer, rule):
    """A service with a subnet takes peer_cidrs, one without takes both groups."""
    given_sides = {
        "has_subnet": has_subnet,
        "peer_cidrs": cidrs,
        "local_group": local,
        "peer_group": peer,
    }
    if rule is None:
        check_sides(**given_sides)
    else:
        assert rule_of(check_sides, **given_sides) is rule


def test_one_side_has_one_family():
    """IKE negotiates no selector between families."""
    both = parse_peer_cidrs(["10.0.0.0/8", "fd00::/8"])
    assert rule_of(family_of_cidrs, both) is Rule.MIXED_PEER_CIDRS
    assert rule_of(family_of_group, "g", [4, 6]) is Rule.MIXED_GROUP
    assert family_of_cidrs(both[1:]) == 6


def test_a_network_is_named_once():
    """Other spellings of one network are the same network, as the database compares text."""
    assert rule_of(parse_peer_cidrs, ["FD00::/64", "fd00:0::/64"]) is Rule.VALUE
    assert rule_of(check_endpoints, "g", "cidr", ["10.0.0.0/8", "10.0.0.1/8"]) is Rule.ENDPOINT
    uuid = "0a0a0a0a-0000-0000-0000-000000000000"
    assert rule_of(check_endpoints, "g", "subnet", [uuid, uuid.upper()]) is Rule.ENDPOINT


@pytest.mark.parametrize(
    ("group_type", "endpoint"),
    [
        ("cidr", f"fd09::/{64:0>70}"),
        ("vlan", f"{7:0>300}"),
        ("vlan", "9" * 5000),
        ("vlan", "4095"),
    ],
)
def test_a_spelling_that_no_column_holds_is_refused(group_type, endpoint):
    """Zeros before a number mean nothing, but a column ends."""
    assert rule_of(check_endpoints, "g", group_type, [endpoint]) is Rule.ENDPOINT
    if group_type == "cidr":
        assert rule_of(parse_peer_cidrs, [endpoint]) is Rule.VALUE


@given(
    st.sampled_from(["cidr", "subnet", "router", "network", "vlan"]),
    st.lists(
        st.one_of(st.text(max_size=20), st.integers(), st.none(), NETWORKS.map(str)), max_size=3
    ),
)
def test_endpoints_pass_or_are_named(group_type, endpoints):
    """Whatever a client sends as endpoints ends in text that fits, or in a rule."""
    refused = refusal(check_endpoints, "g", group_type, endpoints)
    if refused:
        assert refused.rule in (Rule.ENDPOINT, Rule.NO_ENDPOINT)
    else:
        kept = check_endpoints("g", group_type, endpoints)
        assert list(kept) == endpoints
        assert all(len(endpoint) <= 255 for endpoint in kept)


def test_equal_selectors_of_two_connections_clash():
    """What one connection protects, another of the router can't."""
    here, there = ipaddress.ip_network("10.1.0.0/24"), ipaddress.ip_network("10.9.0.0/24")
    pair = TrafficSelector(here, there)
    other = TrafficSelector(here, ipaddress.ip_network("10.9.0.0/25"))
    assert clash([pair], {"b": (other, pair)}) == ("b", pair)
    assert clash([pair], {"b": (other,)}) is None
