"""What the lab reads in the logs of Neutron's agents."""

from lab.ovs import met

BEGIN = "12:00 {} INFO neutron.common.config [-] Logging enabled!\n"
DONE = "12:01 9 INFO neutron.agent.l3.agent [-] Finished a router update for r1, update_id 7.\n"


def test_an_agent_that_says_so_has_met_a_router() -> None:
    """And no other one."""
    log = BEGIN.format(8) + DONE
    assert met(log, 8, "r1")
    assert not met(log, 8, "r")


def test_what_an_earlier_agent_met_does_not_count() -> None:
    """A log goes on over a restart, and the new agent has said nothing at first."""
    earlier = BEGIN.format(8) + DONE
    assert not met(earlier, 88, "r1")
    assert not met(earlier + BEGIN.format(88), 88, "r1")
