import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from swanherd.core import validation
from swanherd.core.model import IkePolicy, IkeVersion, IpsecPolicy, Phase1Mode
from swanherd_dashboard.core import profiles, rows, rules

TEXT = st.text(alphabet=st.characters(), max_size=300) | st.sampled_from(
    [
        "10.0.0.1",
        "fe80::1%eth0",
        "ff02::1",
        "0x7f.1",
        "1.2.3",
        "a.b",
        "-a",
        "a.b.",
        "::",
        " x",
        "ü",
    ]
)


def refused(check, *arguments, **options):
    try:
        check(*arguments, **options)
    except (rules.Wrong, validation.Invalid):
        return True
    return False


@given(TEXT)
@example("a" * 256)
def test_form_and_server_agree_on_keys(text):
    """A key that the form takes is taken by the server, and the other way round."""
    assert refused(rules.check_key, text) == refused(validation.check_psk, text)


@given(TEXT)
def test_form_and_server_agree_on_identities(text):
    """An empty one means the address, which the form fills in."""
    server = refused(validation.check_identity, "peer_id", text, required=False)
    assert refused(rules.check_identity, "peer_id", text) == server


@given(TEXT)
def test_form_and_server_agree_on_peer_addresses(text):
    """IP addresses and host names."""
    assert refused(rules.check_peer_address, text) == refused(validation.peer_ip, text)


@given(st.integers(-5, 2**31 + 5), st.integers(-5, 2**31 + 5))
@example(30, 30)
@example(0, 2**31)
def test_form_and_server_agree_on_dead_peer_detection(interval, timeout):
    """Times in seconds."""
    assert refused(rules.check_dpd, interval, timeout) == refused(
        validation.check_dpd, interval, timeout
    )


@given(st.integers(0, 70000) | st.sampled_from([0, 67, 68, 1279, 1280]), st.sampled_from([4, 6]))
def test_form_and_server_agree_on_the_mtu(mtu, version):
    """Of each inner IP version."""
    assert refused(rules.check_mtu, mtu, version) == refused(validation.check_mtu, mtu, version)


@given(TEXT.filter(lambda text: not set(text) & set(" ,;\n\t") and text.split() == [text]))
@example("10.0.0.0/24")
@example("10.0.0.7/24")
@example("10.0.0.0/255.255.255.0")
@example("fe80::%eth0/64")
def test_networks_that_the_form_takes_are_taken_by_the_server(word):
    """As an endpoint group takes them: with a prefix length."""
    if not refused(rules.parse_networks, word):
        assert not refused(validation.check_endpoints, "peer", "cidr", [word])


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        ([], ()),
        (["2001:DB8::/32", "2001:db8:0::/32"], ("2001:db8::/32",)),
        (["10.1.2.3/24", "10.0.0.0/8", "10.1.2.0/24"], ("10.1.2.0/24", "10.0.0.0/8")),
        (["10.1.2.3", "fe80::%eth0/64"], ("10.1.2.3", "fe80::%eth0/64")),
    ],
)
def test_a_network_of_a_row_is_shown_once(row, shown):
    """What an edit page begins with is what its reader takes; what is no network stays."""
    assert rules.spelt_once(row) == shown


@pytest.mark.parametrize("name", profiles.PROFILES)
def test_the_server_takes_each_profile(name):
    """Each is a pair of policies that can be negotiated; only the old device's is weak."""
    profile = profiles.PROFILES[name]
    ike, ipsec = profile.ike, profile.ipsec
    made = IkePolicy(
        IkeVersion(profile.version),
        Phase1Mode.MAIN,
        ike.encryption,
        ike.integrity,
        ike.group,
        ike.lifetime,
    )
    validation.check_ike_policy(made)
    other = IpsecPolicy("esp", "tunnel", ipsec.encryption, ipsec.integrity, ipsec.group, 3600)
    validation.check_policy_pair(made, other)
    bodies = profiles.ike_body(profile, name), profiles.ipsec_body(profile, name)
    weak = [each for body in bodies for each in validation.weaknesses(body)]
    assert bool(weak) == (name == "legacy")


def test_what_is_weak_is_the_servers_list():
    """The dashboard marks the algorithms that a server may deny."""
    names = {"encryption_algorithm": "encryption", "auth_algorithm": "integrity"}
    names |= {"pfs": "group", "phase1_negotiation_mode": "mode"}
    assert {names[k]: values for k, (values, _) in validation.WEAK.items()} == dict(profiles.WEAK)


def test_a_policy_that_a_profile_made_is_found_again():
    """Connecting twice by the same profile makes one pair of policies."""
    for name, profile in profiles.PROFILES.items():
        ike = rows.policy({"id": "1", **profiles.ike_body(profile, name)})
        ipsec_row = profiles.ipsec_body(profile, name)
        ipsec = rows.policy(
            {"id": "2", "transform_protocol": "esp", "encapsulation_mode": "tunnel", **ipsec_row}
        )
        assert profiles.find_ike([ike], profile) is ike
        assert profiles.find_ipsec([ipsec], profile) is ipsec


def subnet(cidr, router="r"):
    return rules.Subnet(cidr, "", cidr, (router,))


def test_a_connection_for_each_ip_version():
    """Networks of both versions on both sides are two connections."""
    here = [subnet("10.1.0.0/24"), subnet("fd00:1::/64")]
    there = rules.parse_networks("10.2.0.0/24, fd00:2::/64\n10.3.0.0/24")
    four, six = rules.sides(here, there)
    assert (four.version, four.cidrs) == (4, ("10.2.0.0/24", "10.3.0.0/24"))
    assert (six.version, six.cidrs) == (6, ("fd00:2::/64",))


@pytest.mark.parametrize(
    ("here", "there", "field"),
    [
        ([], "10.2.0.0/24", "subnets"),
        (["10.1.0.0/24"], "fd00:2::/64", "peer_cidrs"),
        (["10.1.0.0/24"], "10.2.0.0/24 fd00:2::/64", "subnets"),
        (["10.1.0.0/24"], "10.1.0.128/25", "peer_cidrs"),
    ],
)
def test_sides_that_do_not_fit_are_refused_at_their_field(here, there, field):
    """Each with a sentence beside the field that is to be changed."""
    with pytest.raises(rules.Wrong) as wrong:
        rules.sides([subnet(each) for each in here], rules.parse_networks(there))
    assert wrong.value.field == field


def test_a_peer_network_around_the_local_one_is_allowed():
    """0.0.0.0/0 means everything else."""
    assert rules.sides([subnet("10.1.0.0/24")], (ipaddress.ip_network("0.0.0.0/0"),))


def test_subnets_are_the_chosen_routers():
    """A subnet of another router, or an unknown one, is refused."""
    known = {"a": subnet("10.1.0.0/24"), "b": subnet("10.2.0.0/24", "other")}
    assert rules.on_router(known, ["a"], "r") == [known["a"]]
    for chosen in (["a", "b"], ["c"]):
        with pytest.raises(rules.Wrong, match="router above"):
            rules.on_router(known, chosen, "r")


def test_a_subnet_may_be_on_several_routers():
    """Each router with an interface in it can be given a VPN for it; a foreign one is none."""
    ports = [
        {"device_id": each, "fixed_ips": [{"subnet_id": "s"}]} for each in ("a", "b", "b", "x")
    ]
    found = rules.homes(ports, {"a", "b", "c"})
    assert found == {"s": ("a", "b")}
    chosen = rules.Subnet("s", "", "10.1.0.0/24", found["s"])
    for router in ("a", "b"):
        assert rules.on_router({"s": chosen}, ["s"], router) == [chosen]
    for router in ("c", "x"):
        with pytest.raises(rules.Wrong, match="router above"):
            rules.on_router({"s": chosen}, ["s"], router)
