"""Of which subnets it is known that they have no address left."""

import pytest
import sqlalchemy as sa
from neutron.db import models_v2
from sqlalchemy.orm import Session

from swanherd.server.pools import exhausted

POOLS, GIVEN = models_v2.IPAllocationPool.__table__, models_v2.IPAllocation.__table__
FOUR = ("203.0.113.10", "203.0.113.11")


@pytest.fixture
def session():
    """Neutron's tables of pools and addresses, empty."""
    engine = sa.create_engine("sqlite://")
    models_v2.model_base.BASEV2.metadata.create_all(engine, tables=[POOLS, GIVEN])
    with Session(engine) as opened:
        yield opened
    engine.dispose()


def have(session, subnet_id, pools, *given):
    """Let a subnet have these pools and these addresses given away."""
    for number, (first, last) in enumerate(pools):
        row = {"id": f"{subnet_id}{number}", "subnet_id": subnet_id}
        session.execute(POOLS.insert().values(**row, first_ip=first, last_ip=last))
    for address in given:
        row = {"subnet_id": subnet_id, "network_id": "n"}
        session.execute(GIVEN.insert().values(**row, ip_address=address))


@pytest.mark.parametrize(
    ("pools", "given", "full"),
    [
        ([FOUR], [], False),
        ([FOUR], ["203.0.113.10"], False),
        ([FOUR], ["203.0.113.10", "203.0.113.11"], True),
        # Outside of the pools a user may choose any.
        ([FOUR], ["203.0.113.10", "203.0.113.90", "203.0.113.91"], False),
        ([FOUR, ("203.0.113.20", "203.0.113.20")], ["203.0.113.10", "203.0.113.11"], False),
        ([("2001:db8::9", "2001:db8::9")], ["2001:db8::9"], True),
        ([("2001:db8::1", "2001:db8::ffff:ffff:ffff")], ["2001:db8::9"], False),
        # Without pools it isn't known: there may be other ways to an address.
        ([], [], False),
    ],
)
def test_a_subnet_is_exhausted_when_its_pools_are_given_away(session, pools, given, full):
    """All of them, whatever else is given."""
    have(session, "s", pools, *given)
    assert exhausted(session, ["s"]) == (frozenset("s") if full else frozenset())


def test_each_subnet_has_its_own(session):
    """Another one's addresses aren't counted, and who isn't asked for isn't told."""
    have(session, "a", [FOUR], *FOUR)
    have(session, "b", [FOUR], "203.0.113.12")
    have(session, "c", [FOUR], *FOUR)
    assert exhausted(session, ["a", "b"]) == {"a"}
