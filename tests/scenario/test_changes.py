import pytest

from lab.agreement import differences
from lab.capture import Capture
from lab.processes import wait_for
from lab.vpn import STRONG, agent_view, child_sas, wait_status
from tests.scenario.closed import closed
from tests.scenario.test_self_healing import lost, stream


@pytest.fixture(autouse=True)
def whole(pair, lab):
    """Each test begins with a tunnel that works; nothing leaves in clear, nothing comes in."""
    pair.up()
    pair.here.wait_for_ping(pair.there.ipv4)
    with closed(lab, pair):
        yield


def update(end, connection_id, **attributes):
    end.client.network.update_vpn_ipsec_site_connection(connection_id, **attributes)


def _told(end, connection_id):
    seen = end.connection(connection_id)
    return seen if seen["status_code"] else None


def test_a_key_is_rotated_on_two_sides_without_loss(pair):
    """The old SA stays while only one side has the new key, and the API tells it."""
    pings = stream(pair)
    # Connections to one peer share its identity and so its key: all of a side change together.
    for one, _ in pair.connections:
        update(pair.one, one, psk="a new key")
    for one, _ in pair.connections:
        seen = wait_for(lambda c=one: _told(pair.one, c), 15, "the API tells why it waits")
        assert seen["status"] == "PENDING_UPDATE"
    for _, other in pair.connections:
        update(pair.other, other, psk="a new key")
    pair.up()
    assert lost(pings) <= 1


def test_a_policy_in_use_is_changed_and_negotiated_anew(pair):
    """LP#2127166: what is updated is what runs."""
    before = child_sas(pair.one)
    pings = stream(pair)
    for end in pair.ends:
        end.client.network.update_vpn_ipsec_policy(end.ipsec.id, encryption_algorithm="aes-128")
    pair.up()
    assert not before & child_sas(pair.one)
    loaded = agent_view(pair.one)["desired"]["connections"]
    assert {"aes-128"} == {c["ipsec"]["encryption"] for c in loaded}
    # Until the peer has the same policy it refuses; the old SAs carry on meanwhile.
    assert lost(pings) <= 2


def test_admin_down_ends_the_tunnel_and_leaks_nothing(pair):
    """Down on one side: DOWN with its cause; up again: ACTIVE."""
    one = pair.connections[0][0]
    update(pair.one, one, admin_state_up=False)
    seen = wait_status(pair.one, one, "DOWN")
    assert seen["status_code"] == "admin_down"
    assert not pair.here.pings(pair.there.ipv4, count=3, wait=0.3)
    update(pair.one, one, admin_state_up=True)
    pair.up()
    pair.here.wait_for_ping(pair.there.ipv4)


def test_a_wrong_key_can_be_corrected_while_pending(make_pair):
    """PUT is accepted in every status; the cause shows meanwhile."""
    from lab.vpn import join

    pair = make_pair(inner=(4,))
    pair.connections = (join(*pair.ends, 4, 4),)
    one = pair.connections[0][0]
    update(pair.one, one, psk="wrong")
    # It may have been up by then: the old tunnel carries until the cause is known.
    wait_for(lambda: "psk" in (pair.one.connection(one)["status_code"] or ""), 15, "a cause")
    update(pair.one, one, psk="the lab's own key")
    pair.up()


def test_the_owner_is_told_what_was_negotiated(pair):
    """Algorithms, networks and counters of the tunnel come through the API; so do events."""
    remotes = set()
    for one, _ in pair.connections:
        told = wait_for(lambda c=one: pair.one.connection(c)["details"], 30, "details")
        seen = pair.one.connection(one)
        assert told["ike"]["version"] == "v2"
        assert told["ike"]["encryption"] == pair.one.ike.encryption_algorithm
        remotes |= {child["remote"] for child in told["children"]}
        assert seen["revision_applied"] >= seen["revision_wanted"] > 0
        assert 1000 < seen["effective_mtu"] <= 1500
        assert "ACTIVE" in [event["status"] for event in seen["events"]]
    assert remotes == set(pair.other.site.subnets)


def test_a_rename_touches_no_sa(pair):
    """Name and description: nothing on the node changes."""
    before = child_sas(pair.one)
    pings = stream(pair)
    one = pair.connections[0][0]
    update(pair.one, one, name="renamed", description="other words")
    pair.up()
    assert lost(pings) == 0
    assert before == child_sas(pair.one)


def differing(pair):
    """Return how charon, the agents and the API differ, on either side."""
    return [
        difference
        for number, end in enumerate(pair.ends)
        for difference in differences(end, [ids[number] for ids in pair.connections])
    ]


def inner_of(pair):
    return " or ".join(f"host {a}" for w in (pair.here, pair.there) for a in w.addresses)


def test_a_service_that_is_switched_off_carries_nothing_and_comes_back(pair, lab):
    """No SA is left, and nothing is in clear: not when it goes, not while it is off."""
    network, service = pair.one.client.network, pair.one.service.id
    with Capture.on_wire(lab, pair.one.cloud.plan, inner_of(pair)) as wire:
        network.update_vpn_service(service, admin_state_up=False)
        try:
            for one, _ in pair.connections:
                seen = wait_status(pair.one, one, "DOWN")
                assert seen["status_code"] == "admin_down"
            wait_for(lambda: not child_sas(pair.one), 10, "no SA is left")
            for address in pair.there.addresses:
                assert not pair.here.pings(address, count=3, wait=0.3)
        finally:
            network.update_vpn_service(service, admin_state_up=True)
        pair.up()
        for address in pair.there.addresses:
            pair.here.wait_for_ping(address)
        assert wire.lines() == []


def test_policies_that_are_replaced_by_others_are_negotiated(pair):
    """PUT of their ids: charon has the others then, on both sides; nothing needs the old ones."""
    before, pings = child_sas(pair.one), stream(pair)
    old = [(end.ike.id, end.ipsec.id) for end in pair.ends]
    for end in pair.ends:
        network, strong = end.client.network, {**STRONG, "encryption_algorithm": "aes-192"}
        end.ike = network.create_vpn_ike_policy(name="other", ike_version="v2", **strong)
        end.ipsec = network.create_vpn_ipsec_policy(name="other", **strong)
    for ids in pair.connections:
        for end, connection_id in zip(pair.ends, ids, strict=True):
            update(end, connection_id, ikepolicy_id=end.ike.id, ipsecpolicy_id=end.ipsec.id)
    pair.up()
    wait_for(lambda: differing(pair) == [], 10, "charon has what the API shows")
    assert lost(pings) <= 2
    assert not before & child_sas(pair.one)
    for sa in agent_view(pair.one)["observed"]["charon"]["ike_sas"]:
        of = [sa["details"], *(child["details"] for child in sa["children"])]
        assert {"aes-192"} == {each["encryption"] for each in of}
    for end, (ike, ipsec) in zip(pair.ends, old, strict=True):
        end.client.network.delete_vpn_ike_policy(ike)
        end.client.network.delete_vpn_ipsec_policy(ipsec)
