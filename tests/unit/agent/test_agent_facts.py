from swanherd.agent.facts import facts_of
from swanherd.core.model import DataPlane, Role, RouterId, RouterReport, RowStatus, Status


class Wheel(list):
    """Its reports; nothing waits."""

    def reports(self):
        return self

    def __len__(self):
        return 0


def report(role, *connections):
    rows = tuple(RowStatus(name, Status.ACTIVE) for name in connections)
    return RouterReport(RouterId("r"), 1, 1, (), rows, role=role)


def test_an_agent_tells_what_it_serves_and_what_it_stands_by_for():
    """What only steers, of a distributed router, is neither."""
    wheel = Wheel(
        [
            report(Role.ACTIVE, "a", "b"),
            report(Role.STANDBY),
            report(Role.ACTIVE),
            report(Role.STANDBY),
        ]
    )
    facts = facts_of(wheel, DataPlane.USERSPACE)
    counted = {key: facts[key] for key in ("routers", "standby_routers", "connections", "queue")}
    assert counted == {"routers": 1, "standby_routers": 2, "connections": 2, "queue": 0}
