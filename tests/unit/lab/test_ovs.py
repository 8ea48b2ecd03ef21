"""What the lab reads in the logs of Neutron's agents."""

from lab.ovs import met

BEGIN = "INFO neutron.common.config [-] Logging enabled!\n"
DONE = "INFO neutron.agent.l3.agent [-] Finished a router update for r1, update_id 7.\n"


def test_an_agent_that_says_so_is_done_with_a_router():
    """And with no other one."""
    assert met(BEGIN + DONE, "r1")
    assert not met(BEGIN + DONE, "r")


def test_what_an_earlier_agent_did_does_not_count():
    """A log goes on over a restart."""
    assert not met(BEGIN + DONE + BEGIN, "r1")
