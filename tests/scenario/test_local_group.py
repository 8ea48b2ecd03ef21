"""Another local endpoint group on a live tunnel; what was protected before isn't meanwhile."""

from lab.capture import Capture
from lab.sites import add_subnet, boot
from lab.vpn import child_sas
from tests.scenario.test_changes import differing, update
from tests.scenario.test_self_healing import lost, stream


def test_a_local_group_that_is_replaced_takes_the_tunnel_to_the_other_networks(pair, lab):
    """The new subnet's workload is in the tunnel; the other family's children are untouched."""
    one, other = pair.connections[0]
    number = pair.one.site.name.removeprefix("s").partition("-")[0]
    cidr = f"10.{number}.7.0/24"
    subnet = add_subnet(pair.one.client, pair.one.site, cidr)
    new = boot(pair.one.cloud, pair.one.client, pair.one.site, f"n{number}", subnets=[cidr])
    before = [end.connection(i) for end, i in zip(pair.ends, (one, other), strict=True)]
    groups = []
    for end, kind, value in ((pair.one, "subnet", subnet), (pair.other, "cidr", cidr)):
        made = end.client.network.create_vpn_endpoint_group(
            name=cidr, type=kind, endpoints=[value]
        )
        end.made.append(("group", made.id))
        groups.append(made.id)
    kept, six = child_sas(pair.one), stream(pair, six=True)
    with Capture.on_wire(lab, pair.one.cloud.plan, f"host {new.ipv4}") as wire:
        update(pair.one, one, local_ep_group_id=groups[0])
        update(pair.other, other, peer_ep_group_id=groups[1])
        pair.up()
        new.wait_for_ping(pair.there.ipv4)
        assert wire.lines() == []
    assert differing(pair) == []
    assert len(kept & child_sas(pair.one)) == 1
    assert lost(six) == 0
    update(pair.one, one, local_ep_group_id=before[0]["local_ep_group_id"])
    update(pair.other, other, peer_ep_group_id=before[1]["peer_ep_group_id"])
    pair.up()
    pair.here.wait_for_ping(pair.there.ipv4)
