import pytest

from lab.addresses import narrow_pools, set_pools
from lab.processes import wait_for
from lab.vpn import agent_view, child_sas, leftovers, make_end, remove_end, youngest
from swanherd.core.races import ABANDONED


@pytest.mark.parametrize("mode", ["log", "repair"])
def test_neutrons_ovn_sync_leaves_the_tunnel_working(pair, mode):
    """neutron-ovn-db-sync-util runs, and packets pass afterwards by the same SAs."""
    # Both sides may have begun at once; who began what stays then makes its children anew.
    wait_for(lambda: youngest(pair.one) > ABANDONED, 60, "no race is to be settled", every=0.5)
    before = child_sas(pair.one)
    for end in pair.ends:
        end.cloud.ovn_db_sync(mode)
    for address in (pair.there.ipv4, pair.there.ipv6):
        assert pair.here.pings(address, count=3)
    assert before == child_sas(pair.one)


def test_rows_that_somebody_removes_from_ovn_come_back(pair):
    """The same policies stand there again by themselves, and the tunnel is used."""
    cloud, router = pair.one.cloud, f"neutron-{pair.one.site.router_id}"

    def policies():
        return cloud.nbctl("lr-policy-list", router)

    before = policies()
    assert "reroute" in before
    # Their rows' ids, since they may be back before anyone can see that they were gone.
    ids = _ids_of_policies(cloud, router)
    cloud.nbctl("lr-policy-del", router)
    wait_for(lambda: policies() == before, 60, "the policies are back", every=0.2)
    assert not ids & _ids_of_policies(cloud, router)
    pair.here.wait_for_ping(pair.there.ipv4, 10)


def _ids_of_policies(cloud, router):
    return set(cloud.nbctl("--bare", "get", "Logical_Router", router, "policies").split(", "))


def test_nothing_of_it_is_visible_to_the_project(pair):
    """No port, network or subnet of ours in the project's lists, quotas or router.routes."""
    network = pair.one.client.network
    assert list(network.ports(device_owner="network:vpn_router_gateway")) == []
    assert not [n.name for n in network.networks() if "vpn" in n.name or "transit" in n.name]
    assert network.get_router(pair.one.site.router_id).routes == []
    project = pair.one.client.current_project_id
    admin = pair.one.cloud.connect("admin").network
    used = admin.get_quota(project, details=True).ports["used"]
    assert len(list(network.ports(project_id=project))) == used


def test_the_agent_is_shown_with_its_data_plane(pair):
    """`openstack network agent show` tells who encrypts."""
    admin = pair.one.cloud.connect("admin").network
    (agent,) = [a for a in admin.agents() if a.binary == "swanherd-ovn-agent"]
    assert agent.is_alive
    assert agent.configuration["data_plane"] == "userspace"
    assert agent_view(pair.one)["data_plane"] == "userspace"


def test_swanherdctl_shows_and_plans_on_a_live_agent(pair):
    """In words for people; a settled router has an empty plan; no secret is shown."""
    box = pair.one.cloud.central
    said = box.run(["swanherdctl", "show", pair.one.site.router_id]).stdout
    assert "ESTABLISHED" in said
    assert "ACTIVE" in said
    assert "Nothing to do" in box.run(["swanherdctl", "plan", pair.one.site.router_id]).stdout
    whole = box.run(["swanherdctl", "--json", "show", pair.one.site.router_id]).stdout
    assert "the lab's own key" not in said + whole


def test_no_key_is_in_any_log_or_readable_file(pair):
    """Not at any level that the lab logs at."""
    lab = pair.one.cloud.lab
    logs = [p for p in (lab.state / "logs").rglob("*") if p.is_file()]
    assert logs
    assert [p for p in logs if b"the lab's own key" in p.read_bytes()] == []


def test_no_free_address_is_told_and_heals(clouds, make_pair):
    """201 with a null address, ERROR with the cause; a freed address heals it."""
    cloud = clouds[0]
    pair = make_pair(inner=(4,))
    remove_end(pair.one)
    # Only addresses that the router itself has are left in the pools.
    pools = narrow_pools(cloud, pair.one.site.router_addresses)
    try:
        fresh = make_end(pair.one.cloud, pair.one.client, pair.one.site)
        pair.one.service, pair.one.ike, pair.one.ipsec = fresh.service, fresh.ike, fresh.ipsec
        service = pair.one.service
        assert service.external_v4_ip is None
        seen = wait_for(
            lambda: _status(pair.one, "ERROR"), 10, "the service is in ERROR", every=0.2
        )
        assert seen["status_code"] == "public_port_no_address"
    finally:
        set_pools(cloud, pools)
    wait_for(lambda: pair.one.refresh().external_v4_ip, 60, "it healed", every=0.5)
    wait_for(lambda: _status(pair.one, "ACTIVE"), 30, "the service is ACTIVE", every=0.2)


def _status(end, status):
    from lab.vpn import show

    seen = show(end.client, "vpnservices", end.service.id)
    return seen if seen["status"] == status else None


def test_deleting_everything_leaves_nothing(clouds, make_pair):
    """No namespace, process, port, OVN row or file of the router."""
    pair = make_pair(inner=(4,))
    router = pair.one.site.router_id
    wait_for(lambda: [item for item in leftovers(clouds[0]) if router in item], 20, "it is set up")
    remove_end(pair.one)
    wait_for(
        lambda: not [item for item in leftovers(clouds[0]) if router in item],
        30,
        "nothing of the router is left",
        every=0.5,
    )
    fresh = make_end(pair.one.cloud, pair.one.client, pair.one.site)
    pair.one.service, pair.one.ike, pair.one.ipsec = fresh.service, fresh.ike, fresh.ipsec
