"""Whatever charon shows, and by whomever it was made: a turn has a plan and says what is true."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from swanherd.core.home import network_of
from swanherd.core.ike import CARRYING, HOLDING, ChildSa, SaState
from swanherd.core.model import ChildDetails, DataPlane, IkeVersion, Initiator, Status
from swanherd.core.naming import child_name
from swanherd.core.peering import peerings
from swanherd.core.planner import Observed, options_of, plan
from swanherd.core.status import Trouble, status_of
from swanherd.core.tunnels import Timing
from swanherd.testing import builders as make
from tests.unit.core.seen import charon, fault, ike_sa, network

NARROW, WIDE = (make.selector("10.1.0.0/24", remote) for remote in ("10.2.0.0/24", "10.2.0.0/16"))
CONNECTION = make.connection(selectors=(NARROW, make.selector("10.1.0.0/24", "10.3.0.0/24")))
DESIREDS = {
    (version, initiator): make.desired(
        dataclasses.replace(CONNECTION, ike=make.ike_policy(version=version), initiator=initiator)
    )
    for version in IkeVersion
    for initiator in Initiator
}
OURS = [child_name(s, CONNECTION.ipsec) for s in (*CONNECTION.selectors, WIDE)]
NETWORKS = st.sampled_from(("10.1.0.0/24", "10.2.0.0/16", "", "10.2.0.0/24[tcp/80]", "dynamic"))
STATES = st.sampled_from((SaState.ESTABLISHED, SaState.INSTALLED, *SaState))
DETAILS = st.builds(
    lambda local, remote, age: ChildDetails(
        local, remote, *[None] * 3, 0, 0, 0, 0, age, None, None
    ),
    NETWORKS,
    NETWORKS,
    st.integers(0, 9),
)
CHILDREN = st.builds(
    ChildSa,
    st.sampled_from((*OURS, *OURS, "by-hand", "")),
    st.integers(1, 99),
    STATES,
    st.none() | DETAILS,
)
SEEN = st.fixed_dictionaries(
    {
        "unique_id": st.integers(1, 99),
        "state": STATES,
        "initiator": st.booleans(),
        "busy": st.booleans(),
        "answered": st.booleans(),
        "age": st.integers(0, 9) | st.just(3000),
        "unanswered": st.none() | st.floats(-200, 10),
        "initiator_spi": st.sampled_from("123"),
        "children": st.lists(CHILDREN, max_size=4).map(tuple),
    }
)


@given(
    st.sampled_from(list(DESIREDS)),
    st.lists(st.tuples(st.integers(0, 4), SEEN), max_size=4),
    st.none() | st.builds(fault, st.floats(-400, 0), st.floats(0, 9)),
    st.sampled_from(DataPlane),
)
def test_whatever_charon_shows_there_is_a_plan_and_active_is_what_carries_all(
    kind, seen, failure, plane
):
    """Old, doubled, half of one, or somebody else's: none of it fails the turn."""
    desired = DESIREDS[kind]
    (peering,) = peerings(desired)
    name, known = peering.config.name, peering.config.connection.id
    configs = (name, name, name, f"{known}-0123456789abcdef", "by-hand")
    sas = [ike_sa(config=configs[number], **fields) for number, fields in seen]
    faults = () if failure is None else (dataclasses.replace(failure, config=name),)
    shown = charon(*sas, faults=faults, secrets=frozenset({known}))
    shown = dataclasses.replace(shown, options=options_of(desired, plane))
    observed = Observed(network(network_of(desired, plane)), shown)
    wait = plan(desired, observed, plane, Timing(0.0)).look_again
    assert wait is None or wait >= 0
    (row,) = status_of(desired, observed, plane, Trouble()).connections
    own = [sa for sa in sas if sa.config == name and sa.state in HOLDING]
    up = {c.name for sa in own for c in sa.children if c.state in CARRYING}
    assert (row.status is Status.ACTIVE) == (peering.children <= up)
    assert (row.reason is None) == (row.status is Status.ACTIVE)
