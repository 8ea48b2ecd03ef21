"""A cause that charon named stays while the peer goes on with it, however slowly it asks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanherd.core.ike import SaState
from swanherd.core.model import IkeVersion
from swanherd.swan.codec import ConfigFacts
from swanherd.swan.events import Event, IkeChange, Notice
from swanherd.swan.faults import FaultMemory

PEER = "192.0.2.2"
FACTS = {
    "key": ConfigFacts(IkeVersion.V2, frozenset({PEER})),
    "other": ConfigFacts(IkeVersion.V2, frozenset({PEER})),
}
WRONG_KEY = Notice(3, "text", "key", PEER)
# What charon can't say the config of: an offer that none has, a negotiation that wasn't finished.
NO_OFFER, UNFINISHED = Notice(8, "text", "", PEER), Notice(7, "text", "", PEER)
# What it has no cause for: an attempt that came to nothing.
FAILED = IkeChange("key", 1, up=False, state=SaState.CONNECTING)


def codes_after(
    history: list[tuple[float, Event]], facts: dict[str, ConfigFacts]
) -> list[dict[str, str]]:
    """Return what is told after each event."""
    memory, told = FaultMemory(), []
    for now, event in history:
        memory = memory.feed(event, facts, now)
        told.append({fault.config: fault.code for fault in memory.faults})
    return told


@given(st.floats(1.0, 290.0), st.floats(0.0, 1.0))
def test_what_another_connection_fails_for(pause: float, share: float) -> None:
    """A peer that asks for two in turns has both fail for their own causes, at any pace."""
    turns = [
        turn
        for n in range(4)
        for turn in ((n * pause, WRONG_KEY), ((n + share) * pause, NO_OFFER))
    ]
    told = codes_after(turns, FACTS)
    assert told[-1] == {"key": "psk_mismatch", "other": "ike_proposal_mismatch"}
    assert {"psk_mismatch"} == {codes["key"] for codes in told}


@given(st.floats(10.0, 290.0), st.floats(0.0, 1.0))
@pytest.mark.parametrize("sign", [UNFINISHED, FAILED])
def test_a_weak_sign_between_two_attempts(sign: Event, pause: float, share: float) -> None:
    """What says less than the cause that the peer shows again and again doesn't hide it."""
    facts = {"key": FACTS["key"]}
    turns = [(0.0, WRONG_KEY), (pause, WRONG_KEY), ((1 + share) * pause, sign)]
    assert codes_after(turns, facts)[-1] == {"key": "psk_mismatch"}


def test_a_weak_sign_once_the_cause_is_not_shown_again() -> None:
    """After two pauses without it the peer doesn't go on with it."""
    facts = {"key": FACTS["key"]}
    turns: list[tuple[float, Event]] = [(0.0, WRONG_KEY), (90.0, WRONG_KEY)]
    assert codes_after([*turns, (270.0, UNFINISHED)], facts)[-1] == {"key": "psk_mismatch"}
    assert codes_after([*turns, (271.0, UNFINISHED)], facts)[-1] == {
        "key": "negotiation_unfinished"
    }


def test_an_attempt_that_came_to_nothing() -> None:
    """It may be told before its own cause, and says less than any that is known."""
    facts = {"key": FACTS["key"]}
    turns: list[tuple[float, Event]] = [(0.0, WRONG_KEY), (90.0, FAILED), (90.1, WRONG_KEY)]
    assert codes_after(turns, facts) == [{"key": "psk_mismatch"}] * 3


def test_a_stranger_where_any_peer_may_come() -> None:
    """Its offer, that no config has, may be anybody's: it hides no cause that is known."""
    facts = {"key": ConfigFacts(IkeVersion.V2, frozenset({"%any"}))}
    stranger = Notice(8, "text", "", "203.0.113.7")
    assert codes_after([(0.0, stranger)], facts) == [{"key": "ike_proposal_mismatch"}]
    turns: list[tuple[float, Event]] = [(0.0, WRONG_KEY), (1.0, stranger)]
    assert codes_after(turns, facts)[-1] == {"key": "psk_mismatch"}
