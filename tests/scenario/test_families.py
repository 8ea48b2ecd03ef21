import pytest

from lab.capture import Capture
from lab.vpn import join


@pytest.mark.parametrize(
    ("policies", "attributes"),
    [
        ({"ike": {"ike_version": "v1"}}, {}),
        ({"ike": {"ike_version": "v1", "phase1_negotiation_mode": "aggressive"}}, {}),
        ({"ipsec": {"encryption_algorithm": "aes-256-gcm-16"}}, {}),
        (
            {
                "ike": {
                    "auth_algorithm": "sha1",
                    "encryption_algorithm": "aes-128",
                    "pfs": "group5",
                },
                "ipsec": {
                    "auth_algorithm": "sha1",
                    "encryption_algorithm": "3des",
                    "pfs": "group2",
                },
            },
            {},
        ),
        ({}, {"mtu": 1300}),
    ],
    ids=["ikev1", "ikev1-aggressive", "gcm", "the API's defaults", "mtu"],
)
def test_each_kind_of_connection_comes_up(make_pair, policies, attributes):
    """What the API takes, the tunnel runs."""
    pair = make_pair(inner=(4,), **policies)
    pair.connections = (join(*pair.ends, 4, 4, **attributes),)
    pair.up()
    assert pair.here.pings(pair.there.ipv4)
    assert pair.there.pings(pair.here.ipv4)


def test_a_response_only_end_never_begins(make_pair, lab):
    """It waits with a cause; nothing of it is on the wire until the peer begins."""
    from lab.vpn import connect, wait_status

    pair = make_pair(inner=(4,))
    (local,), (remote,) = pair.one.site.subnets, pair.other.site.subnets
    with Capture.on_wire(lab, pair.one.cloud.plan, "udp port 500 or udp port 4500") as wire:
        first = connect(
            pair.one, pair.other.address(4), [local], [remote], initiator="response-only"
        )
        pair.one.cloud.central.run(["swanherdctl", "show", pair.one.site.router_id])
        assert not pair.here.pings(pair.there.ipv4, count=5, wait=0.3)
        assert wire.lines(f"src host {pair.one.address(4)}") == []
        second = connect(pair.other, pair.one.address(4), [remote], [local])
        wait_status(pair.one, first, "ACTIVE")
        wait_status(pair.other, second, "ACTIVE")
    assert pair.here.pings(pair.there.ipv4)


def test_two_services_on_one_router_work_together(make_pair):
    """Each vpnservice's connections run; deleting one leaves the other's tunnel alone."""
    from lab.vpn import child_sas, connect, make_end, remove_end, wait_status

    pair = make_pair(inner=(4, 6))
    pair.connections = (join(*pair.ends, 4, 4),)
    second = [make_end(end.cloud, end.client, end.site) for end in pair.ends]
    v6 = [next(c for c in end.site.subnets if ":" in c) for end in pair.ends]
    ids = [
        connect(second[0], second[1].address(4), [v6[0]], [v6[1]]),
        connect(second[1], second[0].address(4), [v6[1]], [v6[0]]),
    ]
    pair.up()
    for end, connection_id in zip(second, ids, strict=True):
        wait_status(end, connection_id, "ACTIVE")
    assert pair.here.pings(pair.there.ipv4)
    assert pair.here.pings(pair.there.ipv6)
    before = child_sas(pair.one)
    for end in second:
        remove_end(end)
    assert pair.here.pings(pair.there.ipv4, count=3)
    assert not pair.here.pings(pair.there.ipv6, count=2, wait=0.3)
    assert child_sas(pair.one) < before
