"""What OVN is told to do with a router's VPN traffic."""

from __future__ import annotations

import ipaddress
import re

from hypothesis import given
from hypothesis import strategies as st

from swanherd.core.model import IPAddress, IPNetwork, RouterId, TrafficSelector
from swanherd.core.steering import (
    NAMESPACE_ADDRESSES,
    ROUTER_ADDRESSES,
    TRANSIT_NETWORKS,
    Action,
    Northbound,
    Policy,
    Priority,
    Surroundings,
    limitations,
    northbound_of,
    public_port_id,
    transit_attachment,
)

ROUTER = RouterId("6d0ba1c8-92de-4af4-a34f-20a1bb5c8f2d")
BOTH = frozenset({4, 6})


def networks(version: int, least: int) -> st.SearchStrategy[IPNetwork]:
    longest = 32 if version == 4 else 128
    kind = ipaddress.IPv4Network if version == 4 else ipaddress.IPv6Network
    return st.builds(
        lambda number, length: kind(
            ((number >> (longest - length)) << (longest - length), length)
        ),
        st.integers(1, 2**longest - 1),
        st.integers(least, longest),
    )


def selectors_from(least: int) -> st.SearchStrategy[frozenset[TrafficSelector]]:
    pairs = [st.builds(TrafficSelector, networks(v, 8), networks(v, least)) for v in (4, 6)]
    return st.frozensets(st.one_of(*pairs), max_size=8)


SELECTORS = selectors_from(least=1)
ANY_SELECTORS = selectors_from(least=0)
CONNECTED = st.frozensets(st.one_of(networks(4, 8), networks(6, 8)), max_size=4)
PEERS: st.SearchStrategy[frozenset[IPAddress]] = st.frozensets(st.ip_addresses(), max_size=4)
GATEWAYS = {4: ipaddress.ip_address("198.51.100.1"), 6: ipaddress.ip_address("2001:db8::1")}


OUTSIDE = "lrp-gateway"
VERSIONS = st.frozensets(st.sampled_from([4, 6]))
AROUND = st.builds(
    lambda connected, peers, versions, with_gateway, reached: Surroundings(
        connected,
        peers,
        versions,
        frozenset(GATEWAYS[version] for version in versions & with_gateway),
        reached,
        outside=OUTSIDE,
    ),
    CONNECTED,
    PEERS,
    VERSIONS,
    VERSIONS,
    CONNECTED,
)


def pair(local: str, remote: str) -> TrafficSelector:
    return TrafficSelector(ipaddress.ip_network(local), ipaddress.ip_network(remote))


def rows(selectors: frozenset[TrafficSelector], around: Surroundings) -> Northbound:
    return northbound_of(ROUTER, 7, "gateway-1", selectors, around)


def at(wanted: Northbound, priority: Priority) -> set[str]:
    return {p.match for p in wanted.policies if p.priority == priority}


def steers(
    northbound: Northbound, source: str, destination: str, *, inport: str = "an inner port"
) -> Policy | None:
    """Return the policy that decides about a packet; None if the router goes on as ever."""
    src, dst = ipaddress.ip_address(source), ipaddress.ip_address(destination)
    by_priority = sorted(northbound.policies, key=lambda p: -p.priority)
    return next((p for p in by_priority if matches(p.match, src, dst, inport)), None)


def matches(match: str, src: IPAddress, dst: IPAddress, inport: str) -> bool:
    return any(_all_hold(each.strip("()"), src, dst, inport) for each in match.split(" || "))


def _all_hold(match: str, src: IPAddress, dst: IPAddress, inport: str) -> bool:
    if "outport" in match:
        return False
    if any(name != inport for name in re.findall(r'inport == "([^"]+)"', match)):
        return False
    if re.search(r"&& ip[46]$", match):
        return match.endswith(f"ip{src.version}")
    for version, field, operator, text in re.findall(r"ip([46])\.(src|dst) (==|!=) (\S+)", match):
        address = src if field == "src" else dst
        if address.version != int(version):
            return False
        if (address in ipaddress.ip_network(text)) != (operator == "=="):
            return False
    return True


@given(st.lists(st.one_of(*[st.builds(TrafficSelector, networks(4, 8), networks(4, 1))])), AROUND)
def test_the_order_of_selectors_does_not_matter(
    selectors: list[TrafficSelector], around: Surroundings
) -> None:
    """The same selectors in any order, and repeated, give the same rows."""
    one = northbound_of(ROUTER, 1, None, selectors, around)
    other = northbound_of(ROUTER, 1, None, [*reversed(selectors), *selectors], around)
    assert one == other


@given(SELECTORS, AROUND)
def test_every_reroute_has_its_block(
    selectors: frozenset[TrafficSelector], around: Surroundings
) -> None:
    """Each selector is rerouted, and dropped below that with the very same match."""
    wanted = rows(selectors, around)
    assert at(wanted, Priority.REROUTE) == at(wanted, Priority.BLOCK)
    assert len(selectors) == len(at(wanted, Priority.REROUTE))
    for selector in selectors:
        match = f"src == {selector.local} && "
        assert any(
            match in m and m.endswith(f"dst == {selector.remote}")
            for m in at(wanted, Priority.BLOCK)
        )


@given(SELECTORS, selectors_from(least=1), AROUND)
def test_a_new_selector_leaves_the_others_alone(
    selectors: frozenset[TrafficSelector],
    more: frozenset[TrafficSelector],
    around: Surroundings,
) -> None:
    """More selectors add policies and take none away."""
    assert rows(selectors, around).policies <= rows(selectors | more, around).policies


@given(ANY_SELECTORS, AROUND)
def test_reroutes_go_to_the_namespace_or_past_it_and_nothing_else_has_a_nexthop(
    selectors: frozenset[TrafficSelector], around: Surroundings
) -> None:
    """A reroute has the namespace, or the gateway, of its family as next hop, others have none."""
    by_version = {i.version: str(i.ip) for i in NAMESPACE_ADDRESSES}
    for policy in rows(selectors, around).policies:
        if policy.priority == Priority.PASS:
            assert policy.nexthop == str(GATEWAYS[int(policy.match[2])])
        elif policy.action is Action.REROUTE:
            assert policy.nexthop == by_version[int(policy.match[2])]
        else:
            assert policy.nexthop is None


@given(ANY_SELECTORS, AROUND)
def test_matches_hold_parsed_networks_only(
    selectors: frozenset[TrafficSelector], around: Surroundings
) -> None:
    """Each match is of one of the forms that OVN was seen to accept."""
    network = r"[0-9a-f.:]+/\d+"
    pair = rf"ip[46]\.src == {network} && ip[46]\.dst == {network}"
    forms = (
        rf"ip([46])\.src == {network} && ip\1\.dst == {network}",
        rf'\({pair}\) \|\| \(inport == "{OUTSIDE}" && {pair}\)',
        rf"ip([46])\.dst == {network} && ip\1\.src != {network}",
        rf"ip[46]\.dst == {network}",
        r'inport == "lrp-[0-9a-f-]{36}" && ip[46]',
        rf'outport == "lrp-[0-9a-f-]{{36}}" && ip[46]\.dst != {network}',
    )
    for policy in rows(selectors, around).policies:
        assert any(re.fullmatch(form, policy.match) for form in forms), policy.match


@given(SELECTORS, AROUND)
def test_the_transit_is_shielded_in_both_families(
    selectors: frozenset[TrafficSelector], around: Surroundings
) -> None:
    """Whatever is steered, a workload's packet to the namespace's own address is dropped."""
    wanted = rows(selectors, around)
    for source, destination in (
        ("10.1.0.5", "169.254.0.2"),
        ("fd01::5", "fd5a:4e84:d7c1::2"),
    ):
        decided = steers(wanted, source, destination)
        assert decided is not None
        assert (decided.action, decided.priority) == (Action.DROP, Priority.SHIELD)


@given(SELECTORS, AROUND)
def test_where_no_default_route_is_every_peer_cidr_has_a_route(
    selectors: frozenset[TrafficSelector], around: Surroundings
) -> None:
    """Without a default route each peer CIDR lies in a network that the router is connected to."""
    wanted = rows(selectors, around)
    connected = [ipaddress.ip_interface(n).network for n in wanted.router_port.networks]
    for remote in {s.remote for s in selectors}:
        has = remote.version in around.default_routes or any(
            remote.version == n.version and remote.subnet_of(n)  # type: ignore[arg-type]
            for n in (*connected, *around.connected)
        )
        assert has


@given(SELECTORS, AROUND)
def test_the_router_takes_no_address_that_somebody_needs(
    selectors: frozenset[TrafficSelector], around: Surroundings
) -> None:
    """An address that only gives a route lies in no peer CIDR, nor on a subnet of the router."""
    transit = {str(i) for i in ROUTER_ADDRESSES}
    extra = rows(selectors, around).router_port.networks - transit
    for text in extra:
        interface = ipaddress.ip_interface(text)
        assert interface.version not in around.default_routes
        assert int(interface.ip)
        used = {s.remote for s in selectors} | {s.local for s in selectors} | around.connected
        assert interface.network.prefixlen == 0 or not any(interface.ip in n for n in used)


@given(ANY_SELECTORS, AROUND)
def test_nothing_comes_in_from_a_peer_cidr_but_what_was_decrypted(
    selectors: frozenset[TrafficSelector], around: Surroundings
) -> None:
    """What is of a selector in reverse is let in from the transit alone, or is exempt outwards."""
    wanted = rows(selectors, around)
    for selector in selectors:
        source, destination = str(selector.remote[-1]), str(selector.local[0])
        inward = steers(wanted, source, destination, inport=wanted.router_port.name)
        assert inward is not None
        if inward.priority != Priority.SHIELD:
            assert (inward.action, inward.priority) == (Action.ALLOW, Priority.DECRYPTED)
        clear, outward = steers(wanted, source, destination), steers(wanted, destination, source)
        assert clear is not None
        if clear.action is Action.ALLOW:
            assert clear.priority == Priority.EXEMPT
        elif clear.action is Action.REROUTE:
            # It is also of another selector, forwards; that one goes encrypted.
            assert outward is not None
        else:
            assert clear.action is Action.DROP


@given(ANY_SELECTORS, AROUND)
def test_nobody_outside_speaks_for_a_local_subnet(
    selectors: frozenset[TrafficSelector], around: Surroundings
) -> None:
    """What comes from the external network is never rerouted to the namespace."""
    wanted = rows(selectors, around)
    for selector in selectors:
        source, destination = str(selector.local[0]), str(selector.remote[-1])
        policy = steers(wanted, source, destination, inport=OUTSIDE)
        assert policy is not None
        assert policy.action is Action.DROP or policy.priority == Priority.EXEMPT


@given(ANY_SELECTORS, AROUND)
def test_a_route_to_the_namespace_changes_nothing_while_the_policies_stand(
    selectors: frozenset[TrafficSelector], around: Surroundings
) -> None:
    """Each has a policy that passes others on to the only gateway, and covers no other route."""
    wanted = rows(selectors, around)
    passing = {p.match: p for p in wanted.policies if p.priority == Priority.PASS}
    assert len(passing) == len(wanted.routes)
    for route in wanted.routes:
        network = ipaddress.ip_network(route.prefix)
        assert passing[f"ip{network.version}.dst == {network}"].nexthop in map(
            str, around.gateways
        )
        assert network in {s.remote for s in selectors}
        assert network.prefixlen
        for other in around.routed | around.connected:
            assert other.version != network.version or not other.overlaps(network)  # type: ignore[arg-type]
        assert route.nexthop in {str(i.ip) for i in NAMESPACE_ADDRESSES}


def test_every_peer_cidr_behind_the_default_gateway_has_a_route() -> None:
    """Without policies a selector's packets still go to the namespace, as others' to its CIDR."""
    around = Surroundings(default_routes=BOTH, gateways=frozenset(GATEWAYS.values()))
    selectors = {pair("10.1.0.0/24", "10.9.0.0/24"), pair("fd01::/64", "fd09::/64")}
    wanted = rows(frozenset(selectors), around)
    assert {(r.prefix, r.nexthop) for r in wanted.routes} == {
        ("10.9.0.0/24", "169.254.0.2"),
        ("fd09::/64", "fd5a:4e84:d7c1::2"),
    }
    other = steers(wanted, "10.7.0.5", "10.9.0.5")
    assert other is not None
    assert (other.action, other.nexthop) == (Action.REROUTE, "198.51.100.1")


def test_siblings_do_not_collide() -> None:
    """Two neighbouring /32 peers don't get each other's address as the router's own."""
    selectors = frozenset({pair("10.1.0.0/24", "10.9.0.4/32"), pair("10.1.0.0/24", "10.9.0.5/32")})
    networks = rows(selectors, Surroundings()).router_port.networks
    assert {"169.254.0.1/30", "fd5a:4e84:d7c1::1/126", "10.9.0.6/30"} == networks


def test_the_measured_trick() -> None:
    """Without a default route the transit port gets the block beside the peer CIDR."""
    selectors = frozenset({pair("10.1.0.0/24", "10.9.0.0/24"), pair("fd01::/64", "fd09::/64")})
    networks = rows(selectors, Surroundings()).router_port.networks
    assert {"10.9.1.0/23", "fd09:0:0:1::/63"} < networks
    assert rows(selectors, Surroundings(default_routes=BOTH)).router_port.networks == {
        "169.254.0.1/30",
        "fd5a:4e84:d7c1::1/126",
    }


def test_everything_is_tunnelled_but_what_is_not_meant() -> None:
    """A peer CIDR of everything leaves out own subnets and the peer, and nothing else."""
    around = Surroundings(
        frozenset({ipaddress.ip_network("10.1.0.0/24"), ipaddress.ip_network("10.2.0.0/24")}),
        frozenset({ipaddress.ip_address("198.51.100.7")}),
        BOTH,
    )
    wanted = rows(frozenset({pair("10.1.0.0/24", "0.0.0.0/0")}), around)

    def action(source: str, destination: str) -> Action | None:
        policy = steers(wanted, source, destination)
        return policy.action if policy else None

    assert action("10.1.0.5", "10.2.0.5") is Action.ALLOW
    assert action("10.1.0.5", "198.51.100.7") is Action.ALLOW
    assert action("10.1.0.5", "198.51.100.8") is Action.REROUTE
    assert action("10.1.0.5", "8.8.8.8") is Action.REROUTE
    assert action("10.2.0.5", "8.8.8.8") is None
    assert action("10.2.0.5", "10.1.0.5") is Action.ALLOW
    assert action("198.51.100.7", "10.1.0.5") is Action.ALLOW
    assert action("8.8.8.8", "10.1.0.5") is Action.DROP
    assert action("8.8.8.8", "10.2.0.5") is None
    assert action("fd01::5", "2001:db8::1") is None


def test_a_narrow_peer_cidr_means_what_it_covers() -> None:
    """A peer's own address inside a peer CIDR that isn't everything never leaves in clear."""
    around = Surroundings(frozenset(), frozenset({ipaddress.ip_address("198.51.100.7")}), BOTH)
    narrow = pair("10.1.0.0/24", "198.51.100.0/24")
    for selectors in ({narrow}, {narrow, pair("10.1.0.0/24", "0.0.0.0/0")}):
        decided = steers(rows(frozenset(selectors), around), "10.1.0.5", "198.51.100.7")
        assert decided is not None
        assert decided.action is Action.REROUTE


def test_everything_without_a_default_route_is_a_named_limitation() -> None:
    """What OVN can't route at all isn't steered, and is said; the other family isn't touched."""
    named = {"c4": (pair("10.1.0.0/24", "0.0.0.0/0"),), "c6": (pair("fd01::/64", "::/0"),)}
    selectors = frozenset(selector for pairs in named.values() for selector in pairs)
    only_v6 = Surroundings(default_routes=frozenset({6}))
    ((name, reason),) = limitations(named, only_v6).items()
    assert (name, reason.code) == ("c4", "default_route_missing")
    assert "IPv4" in reason.text and "IPv6" not in reason.text
    assert at(rows(selectors, only_v6), Priority.REROUTE) == {
        "ip6.src == fd01::/64 && ip6.dst == ::/0"
    }
    assert limitations(named, Surroundings(default_routes=BOTH)) == {}


def test_the_namespace_and_the_router_agree() -> None:
    """What the agent plugs is what the switch expects, and a router's ids are its own."""
    wanted = rows(frozenset(), Surroundings())
    attachment = transit_attachment(ROUTER, 1442)
    assert attachment.port_id == wanted.namespace_port.name
    assert attachment.mac == wanted.namespace_port.mac != wanted.router_port.mac
    assert {str(i.ip) for i in attachment.addresses} == wanted.namespace_port.addresses
    assert all(any(g in n for n in TRANSIT_NETWORKS) for g in attachment.gateways)
    assert int(attachment.mac[:2], 16) & 0b11 == 0b10

    other = RouterId("0c9f2f0e-1f0c-4a55-9c60-1d6d0d1c6b55")
    assert transit_attachment(other, 1442).mac != attachment.mac
    assert public_port_id(other) != public_port_id(ROUTER) != attachment.port_id
