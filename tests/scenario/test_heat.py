"""Heat makes, changes and removes a site-to-site stack, as its users would."""

import pytest

from lab.layout import LabError
from lab.processes import wait_for
from tests.oracles.heat import start_heat, template


@pytest.fixture(scope="module")
def heat(lab, clouds):
    """The orchestration API of cloud a, for an ordinary user."""
    start_heat(lab, clouds[0])
    return clouds[0].connect().orchestration


def settled(heat, stack, action, limit=120):
    """Wait until an action of the stack has ended; LabError tells why it failed."""
    seen = {}

    def done():
        seen["stack"] = heat.find_stack(stack.id, ignore_missing=True)
        if seen["stack"] is None:
            return action == "DELETE"
        return not seen["stack"].status.endswith("IN_PROGRESS")

    wait_for(done, limit, f"{action} of the stack", every=0.5)
    ended = seen["stack"]
    if ended is not None and ended.status not in (f"{action}_COMPLETE",):
        failed = [e for e in heat.stack_events(stack) if "FAILED" in e.resource_status]
        why = [(e.resource_name, e.resource_status_reason) for e in failed]
        raise LabError(f"{ended.status}: {ended.status_reason}; {why}")


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("rounds", [1, pytest.param(10, marks=pytest.mark.long)])
def test_a_stack_comes_changes_and_goes(heat, clouds, rounds):
    """Again and again: COMPLETE each time, both ends ACTIVE, the change in both.

    Heat can change name, description and admin_state_up of a connection. For all else it makes
    another one before it deletes the first, whose networks the new one takes over.
    """
    network = clouds[0].connect().network
    for number in range(rounds):
        stack = heat.create_stack(name=f"tunnel-{number}", template=template("first"))
        settled(heat, stack, "CREATE")
        before = _ids(network)
        changed(heat, network, stack, template("second"))
        assert _ids(network) == before
        changed(heat, network, stack, template("third", psk="another key"))
        assert not _ids(network) & before
        heat.delete_stack(stack)
        settled(heat, stack, "DELETE")


def changed(heat, network, stack, wanted):
    """Change the stack; wait until it is, and both ends are up again."""
    heat.update_stack(stack, template=wanted)
    settled(heat, stack, "UPDATE")
    said = wanted["resources"]["left-connection"]["properties"]["description"]
    shown = list(network.vpn_ipsec_site_connections())
    assert [c.description for c in shown] == [said, said]
    wait_for(lambda: all(_active(network, c) for c in shown), 30, "both ends")


def _ids(network):
    return {connection.id for connection in network.vpn_ipsec_site_connections()}


def _active(network, connection):
    return network.get_vpn_ipsec_site_connection(connection.id).status == "ACTIVE"
