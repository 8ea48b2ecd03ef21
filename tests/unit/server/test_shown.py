from hypothesis import given
from hypothesis import strategies as st

from swanherd.core.model import Reason, RowStatus, Status
from swanherd.server.shown import AGENT_LOST, NORTHBOUND_PENDING, Facts, lost, reported, waiting

REASONS = st.none() | st.builds(Reason, st.sampled_from(["a", "b"]), st.just("why"))
FACTS = st.builds(
    Facts,
    is_service=st.booleans(),
    up=st.booleans(),
    was_up=st.booleans(),
    age=st.floats(0, 1000),
    problem=REASONS,
)
REPORTS = st.builds(RowStatus, st.just("id"), st.sampled_from(Status), REASONS)
TIMEOUT = 300


def after(facts, report, *, northbound=True):
    return reported(facts, report, northbound=northbound, pending_create_timeout=TIMEOUT)


@given(FACTS, REPORTS, st.booleans())
def test_a_problem_that_the_server_found_shows_whatever_is_reported(facts, report, northbound):
    """Its cause is an ERROR until it is gone; without one the server never says ERROR itself."""
    shown = after(facts, report, northbound=northbound)
    if facts.problem is not None:
        assert (shown.status, shown.reason) == (Status.ERROR, facts.problem)
        assert waiting(facts) == shown
    else:
        assert (shown.status is Status.ERROR) == (report.status is Status.ERROR)


@given(FACTS, REPORTS, st.booleans())
def test_active_needs_agent_and_northbound(facts, report, northbound):
    """ACTIVE means that both have applied the row; it is remembered."""
    shown = after(facts, report, northbound=northbound)
    both = report.status is Status.ACTIVE and northbound and facts.problem is None
    assert (shown.status is Status.ACTIVE) == both
    assert shown.was_up == (facts.was_up or both)


@given(FACTS, REPORTS)
def test_a_service_is_down_only_by_administration(facts, report):
    """Heat takes a DOWN service for a failure."""
    shown = after(facts, report)
    if facts.is_service and facts.up:
        assert shown.status is not Status.DOWN


@given(FACTS, REASONS)
def test_a_new_connection_waits_with_its_cause(facts, reason):
    """DOWN shows after it was up, after the timeout, or when it is administratively down."""
    shown = after(facts, RowStatus("id", Status.DOWN, reason))
    if facts.problem is None and not facts.is_service:
        due = not facts.up or facts.was_up or facts.age >= TIMEOUT
        assert shown.status is (Status.DOWN if due else Status.PENDING_CREATE)
        assert shown.reason == reason


@given(FACTS, REASONS, st.sampled_from([Status.PENDING_UPDATE, Status.ERROR]))
def test_a_cause_that_an_agent_names_is_kept(facts, reason, said):
    """Pending or ERROR: the user reads why, unless the server knows of something worse."""
    shown = after(facts, RowStatus("id", said, reason))
    if facts.problem is None:
        assert shown.reason == reason
        assert shown.status is (said if said is Status.ERROR else waiting(facts).status)


@given(FACTS)
def test_what_waits_says_what_for(facts):
    """PENDING_CREATE until it was up once, PENDING_UPDATE ever after."""
    shown = waiting(facts)
    if facts.problem is None:
        assert shown.status is (Status.PENDING_UPDATE if facts.was_up else Status.PENDING_CREATE)
        late = after(facts, RowStatus("id", Status.ACTIVE), northbound=False)
        assert late.status is shown.status
        assert late.reason is not None
        assert late.reason.code == NORTHBOUND_PENDING


@given(FACTS)
def test_what_a_lost_agent_had_is_down(facts):
    """With the cause, and the host to look at."""
    shown = lost(facts, "g1")
    if facts.problem is None:
        assert shown.status is Status.DOWN
        assert shown.reason is not None
        assert shown.reason.code == AGENT_LOST
        assert "g1" in shown.reason.text
