import pytest

from swanherd.core.ike import SaState
from swanherd.swan.events import Exchange, IkeChange, Notice
from swanherd.swan.silence import Silence


def exchange(*, received, request, ike_id=7):
    return Exchange("c", "", received, "INFORMATIONAL", request, frozenset(), ike_id)


QUESTION = exchange(received=False, request=True)
AGAIN, ANSWERED = (Notice(kind, "", "c", "") for kind in (20, 21))


def since(*events):
    """What is unanswered after events that come a second after another, from second 1 on."""
    silence = Silence()
    for now, event in enumerate(events, 1):
        silence = silence.feed(event, {7}, float(now))
    return dict(silence.since)


def test_it_counts_from_the_first_question():
    """Later ones and retransmissions don't move it."""
    assert since(QUESTION, QUESTION, AGAIN) == {7: 1.0}


def test_whatever_the_peer_says_ends_it():
    """An answer, a request of its own, what error-notify tells, or the end of the IKE SA."""
    for sign in (
        exchange(received=True, request=False),
        exchange(received=True, request=True),
        ANSWERED,
        IkeChange("c", 7, up=False, state=SaState.ESTABLISHED),
    ):
        assert since(QUESTION, sign) == {}


def test_who_comes_later_learns_of_it_at_the_next_retransmission():
    """An agent that was restarted hasn't heard the question."""
    assert since(AGAIN, AGAIN) == {7: 1.0}


def test_our_own_answers_are_no_questions():
    """Only requests are."""
    assert since(exchange(received=False, request=False)) == {}


@pytest.mark.parametrize(
    ("kind", "payloads", "asks"),
    [
        ("ID_PROT", "SA V", True),
        ("ID_PROT", "HASH ID", True),
        ("QUICK_MODE", "HASH SA No KE ID ID", True),
        ("QUICK_MODE", "HASH", False),
        ("AGGRESSIVE", "SA KE No ID V", True),
        ("AGGRESSIVE", "HASH NAT-D NAT-D", False),
        ("INFORMATIONAL_V1", "HASH N(DPD)", True),
        ("INFORMATIONAL_V1", "HASH N(DPD_ACK)", False),
        ("INFORMATIONAL_V1", "HASH D", False),
    ],
)
def test_ikev1_has_requests_that_nobody_answers(kind, payloads, asks):
    """Else a peer that says nothing by itself would seem to owe an answer since then."""
    sent = Exchange("c", "", False, kind, True, frozenset(payloads.split()), 7)
    assert since(sent) == ({7: 1.0} if asks else {})


def test_other_ike_sas_are_another_matter():
    """An answer counts for its own IKE SA alone."""
    assert since(QUESTION, exchange(received=True, request=False, ike_id=8)) == {7: 1.0}


def test_an_older_list_ends_no_younger_question():
    """An IKE SA may have begun since the SAs were listed; what is older and gone is forgotten."""
    silence = Silence({7: 10.0, 8: 2.0})
    assert dict(silence.keep_only([], listed=5.0).since) == {7: 10.0}
    assert dict(silence.keep_only([8], listed=5.0).since) == {7: 10.0, 8: 2.0}
