"""Signs of failure become one cause a config; success ends it; memory doesn't grow."""

from __future__ import annotations

import dataclasses
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanherd.core.ike import Refusal, SaState
from swanherd.core.model import IkeVersion, TrafficSelector
from swanherd.swan.causes import CAUSES, refused
from swanherd.swan.codec import ConfigFacts
from swanherd.swan.events import (
    ChildChange,
    Event,
    EventReader,
    Exchange,
    IkeChange,
    IkeRekeyed,
    Notice,
    Unsendable,
    parse_record,
)
from swanherd.swan.faults import FaultMemory
from swanherd.testing import builders
from tests.examples import times

PEER = "192.0.2.2"
FACTS = {
    "two": ConfigFacts(IkeVersion.V2, frozenset({PEER})),
    "one": ConfigFacts(IkeVersion.V1, frozenset({"192.0.2.1"})),
    "any": ConfigFacts(IkeVersion.V2, frozenset({"%any"})),
}
UP = IkeChange("two", 1, up=True, state=SaState.ESTABLISHED)
LOST = IkeChange("two", 1, up=False, state=SaState.ESTABLISHED)
ENDED = IkeChange("two", 1, up=False, state=SaState.DELETING)
NEVER = IkeChange("two", 1, up=False, state=SaState.CONNECTING)
DELETE = Exchange("two", PEER, True, "INFORMATIONAL", True, frozenset({"D"}))


def feed(*events: Event, times: tuple[float, ...] = ()) -> FaultMemory:
    memory = FaultMemory()
    for index, event in enumerate(events):
        memory = memory.feed(event, FACTS, times[index] if times else float(index))
    return memory


def codes(memory: FaultMemory) -> dict[str, str]:
    return {fault.config: fault.code for fault in memory.faults}


def notice(kind: int, config: str = "", peer: str = "") -> Notice:
    return Notice(kind, "text", config, peer)


def answer(*payloads: str, kind: str = "IKE_AUTH", config: str = "two") -> Exchange:
    return Exchange(config, PEER, True, kind, False, frozenset(payloads))


events = st.one_of(
    st.builds(
        Notice,
        st.integers(1, 32),
        st.just("text"),
        st.sampled_from(["", *FACTS, "gone"]),
        st.sampled_from(["", PEER, "198.51.100.9"]),
    ),
    st.builds(
        Exchange,
        st.sampled_from(["", *FACTS, "gone"]),
        st.sampled_from(["", PEER]),
        st.booleans(),
        st.sampled_from(
            ["IKE_SA_INIT", "IKE_AUTH", "INFORMATIONAL", "INFORMATIONAL_V1", "CREATE_CHILD_SA"]
        ),
        st.booleans(),
        st.frozensets(
            st.sampled_from(["D", "HASH", "N(AUTH_FAILED)", "N(NO_PROP)", "N(TS_UNACCEPT)"])
        ),
    ),
    st.builds(
        IkeChange,
        st.sampled_from([*FACTS, "gone"]),
        st.integers(1, 3),
        st.booleans(),
        st.sampled_from(SaState),
    ),
    st.builds(
        ChildChange, st.sampled_from([*FACTS, "gone"]), st.booleans(), st.sampled_from(SaState)
    ),
    st.builds(IkeRekeyed, st.sampled_from([*FACTS]), st.integers(1, 3), st.integers(1, 3)),
    st.just(Unsendable("Network is unreachable")),
)


@times(4)
@given(st.lists(events, max_size=30))
def test_any_history(history: list[Event]) -> None:
    """Faults are of loaded configs only, one each, with known codes and times in order."""
    memory = feed(*history)
    assert set(codes(memory)) <= set(FACTS)
    for fault in memory.faults:
        assert fault.code in CAUSES
        assert fault.hint
        assert 0 <= fault.first <= fault.last <= len(history)


@times(4)
@given(st.lists(events, max_size=30))
def test_success_ends_every_failure(history: list[Event]) -> None:
    """After a child of each config came up there is no fault, whatever was before."""
    up = [ChildChange(name, up=True, state=SaState.INSTALLED) for name in FACTS]
    assert feed(*history, *up).faults == ()


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (notice(3, "two"), {"two": "psk_mismatch"}),
        (notice(3, "one"), {"one": "peer_id_mismatch"}),
        (notice(3, "", PEER), {"two": "peer_id_mismatch"}),
        (notice(8, "two"), {"two": "ike_no_proposal_or_no_connection"}),
        (notice(8, "", PEER), {"two": "ike_proposal_mismatch"}),
        (notice(8, "", "198.51.100.9"), {"any": "ike_proposal_mismatch"}),
        (notice(5, "one"), {"one": "psk_mismatch"}),
        (notice(5, "two"), {}),
        (notice(20, "two"), {"two": "peer_silent"}),
        (notice(20, "gone"), {}),
        (notice(99, "two"), {}),
        (answer("N(AUTH_FAILED)"), {"two": "psk_or_id_mismatch"}),
        (answer("N(TS_UNACCEPT)", kind="CREATE_CHILD_SA"), {"two": "traffic_selector_mismatch"}),
        (answer("N(NO_ADD_SAS)", kind="CREATE_CHILD_SA"), {"two": "peer_refused"}),
        (answer("SA", "KE", "No", kind="IKE_SA_INIT"), {}),
        (NEVER, {"two": "negotiation_failed"}),
    ],
)
def test_single_signs(event: Event, expected: dict[str, str]) -> None:
    """One sign alone means this cause for this config."""
    assert codes(feed(event)) == expected


def refusal(payload: str, config: str = "two") -> Exchange:
    return Exchange(config, PEER, False, "CREATE_CHILD_SA", False, frozenset({payload}))


@pytest.mark.parametrize("said", ["N(TS_UNACCEPT)", "N(NO_PROP)"])
@pytest.mark.parametrize("kind", [11, 12])
def test_what_we_could_not_install_is_not_the_peers_fault(kind: int, said: str) -> None:
    """charon then refuses in the words that it has for networks and algorithms."""
    failed = notice(kind, "two")
    assert codes(feed(failed, refusal(said))) == {"two": "install_failed"}
    assert codes(feed(refusal(said), failed)) == {"two": "install_failed"}
    later = feed(failed, refusal(said), times=(0.0, 6.0))
    assert codes(later)["two"] != "install_failed"
    theirs = feed(failed, answer(said, kind="CREATE_CHILD_SA"))
    assert codes(theirs)["two"] != "install_failed"


def test_silence_of_a_live_peer_is_death() -> None:
    """A retransmission means nothing yet while an IKE SA is up; giving up does."""
    assert codes(feed(UP, notice(20, "two"))) == {}
    assert codes(feed(UP, notice(6, "two"))) == {"two": "dpd_timeout"}
    assert codes(feed(UP, LOST)) == {"two": "dpd_timeout"}


@pytest.mark.parametrize("config", ["one", "two"])
def test_one_of_several_that_is_given_up_is_no_dead_peer(config: str) -> None:
    """A peer that has forgotten it may answer in the other one; the last one's end tells."""
    ups = [IkeChange(config, each, up=True, state=SaState.ESTABLISHED) for each in (1, 2)]
    child = ChildChange(config, up=True, state=SaState.INSTALLED)
    lost = [dataclasses.replace(each, up=False) for each in ups]
    memory = feed(*ups, child, notice(6, config))
    assert codes(memory) == codes(memory.feed(lost[0], FACTS, 9.0)) == {}
    for last in ((notice(6, config), lost[1]), (lost[1], notice(6, config))):
        assert codes(feed(*ups, child, lost[0], *last)) == {config: "dpd_timeout"}


V1_UP = IkeChange("one", 1, up=True, state=SaState.ESTABLISHED)
V1_LOST = IkeChange("one", 1, up=False, state=SaState.ESTABLISHED)
V1_CHILD = ChildChange("one", up=True, state=SaState.INSTALLED)
V1_REFUSED = answer("HASH", "N(NO_PROP)", kind="INFORMATIONAL_V1", config="one")


@pytest.mark.parametrize("end", [(notice(6, "one"), V1_LOST), (V1_LOST, notice(6, "one"))])
def test_in_ikev1_what_never_carried_tells_of_no_dead_peer(end: tuple[Event, Event]) -> None:
    """It is up before anything of the child is asked: silence is a negotiation's, as in IKEv2.

    So dpd's action doesn't follow: "clear" would never try again, and "restart-by-peer" would
    end what is alive. The cause that was told is the cause.
    """
    assert codes(feed(V1_UP, *end)) == {"one": "peer_silent"}
    assert codes(feed(V1_UP, V1_REFUSED, *end)) == {"one": "esp_proposal_mismatch"}
    assert codes(feed(V1_UP, V1_CHILD, *end)) == {"one": "dpd_timeout"}
    assert codes(feed(V1_UP, V1_CHILD, V1_REFUSED, *end)) == {"one": "dpd_timeout"}
    # What was there before this agent, and what a renewal has made, may carry.
    adopted = FaultMemory().seen({"one": frozenset({1})})
    for each in end:
        adopted = adopted.feed(each, FACTS, 1.0)
    assert codes(adopted) == {"one": "dpd_timeout"}
    # A renewal's children come without a word, maybe before the first list is read.
    assert codes(feed(V1_UP).filled(["one"]).feed(V1_LOST, FACTS, 1.0)) == {"one": "dpd_timeout"}
    assert codes(feed(V1_UP).filled(["two"]).feed(V1_LOST, FACTS, 1.0)) == {"one": "peer_silent"}
    renewal = dataclasses.replace(V1_UP, unique_id=2)
    history = (V1_UP, V1_CHILD, renewal, V1_LOST, notice(6, "one"))
    assert codes(feed(*history, dataclasses.replace(V1_LOST, unique_id=2))) == {
        "one": "dpd_timeout"
    }
    again = (V1_UP, V1_CHILD, V1_LOST, V1_UP, *end)
    assert codes(feed(*again, times=(0.0, 1.0, 2.0, 99.0, 199.0, 199.0))) == {"one": "peer_silent"}


def test_a_rekeyed_ike_sa_is_still_up() -> None:
    """The end of an IKE SA that was replaced is no failure."""
    assert codes(feed(UP, IkeRekeyed("two", 1, 2), LOST)) == {}
    assert codes(feed(UP, IkeRekeyed("two", 1, 2), dataclasses.replace(LOST, unique_id=2))) == {
        "two": "dpd_timeout"
    }


@pytest.mark.parametrize("order", [(DELETE, ENDED), (ENDED, DELETE)])
def test_the_peers_delete(order: tuple[Event, Event]) -> None:
    """The peer's D and the end of the SA together mean that it was the peer, in either order."""
    assert codes(feed(UP, *order)) == {"two": "peer_deleted"}


def test_our_own_delete_is_no_failure() -> None:
    """An IKE SA that we end ends without the peer's D; an old D doesn't count."""
    assert codes(feed(UP, ENDED)) == {}
    assert codes(feed(DELETE, UP, ENDED, times=(0.0, 50.0, 100.0))) == {}


def test_what_we_end_while_its_peer_is_silent_is_no_dead_peers() -> None:
    """Charon tells of it as of one that it has given up; another one's death still counts."""
    assert codes(feed(UP).ending(1, 0.0).feed(LOST, FACTS, 1.0)) == {}
    assert codes(feed(UP).ending(2, 0.0).feed(LOST, FACTS, 1.0)) == {"two": "dpd_timeout"}


def test_what_we_ended_long_ago_is_not_remembered() -> None:
    """However many there were."""
    memory = feed(UP)
    for number in range(1000):
        memory = memory.ending(number, number * 10.0)
    assert len(memory.ours) <= 31


def test_a_telling_cause_outlives_silence() -> None:
    """Silence after a refusal doesn't hide it, until it hasn't been seen for long."""
    history = (notice(3, "two"), notice(20, "two"))
    assert codes(feed(*history, times=(0.0, 30.0))) == {"two": "psk_mismatch"}
    assert codes(feed(*history, times=(0.0, 100.0))) == {"two": "peer_silent"}
    assert codes(feed(*reversed(history), times=(0.0, 1.0))) == {"two": "psk_mismatch"}


def test_a_series_has_one_beginning() -> None:
    """`first` is when the failing began, whatever the codes; a long pause begins another."""
    history = (notice(20, "two"), notice(3, "two"), notice(3, "two"))
    (fault,) = feed(*history, times=(1.0, 20.0, 40.0)).faults
    assert (fault.first, fault.last) == (1.0, 40.0)
    (fault,) = feed(*history, times=(1.0, 20.0, 4000.0)).faults
    assert (fault.first, fault.last) == (4000.0, 4000.0)


def test_no_route_is_told_from_silence() -> None:
    """A packet that the kernel refused makes the retransmission after it a missing route."""
    history = (Unsendable("Network is unreachable"), notice(20, "two"))
    assert codes(feed(*history)) == {"two": "peer_unreachable"}
    assert codes(feed(*history, times=(0.0, 60.0))) == {"two": "peer_silent"}


def test_what_is_unloaded_is_forgotten() -> None:
    """Nothing is kept of configs that aren't loaded."""
    memory = feed(UP, notice(3, "two"), DELETE, notice(5, "one")).keep_only({"one"})
    assert codes(memory) == {"one": "psk_mismatch"}
    assert memory.deletes == {}
    assert memory.forget("one").faults == ()


def test_what_is_refused_is_known_as_long_as_its_config_is() -> None:
    """A responder's charon tells which networks it has no child for: IKEv1 in its log alone."""
    asked = "10.3.0.0/24 === 10.1.0.0/24"
    text = f"the received traffic selectors did not match: {asked}"
    line = log(b"IKE", f"no matching CHILD_SA config found for {asked}".encode(), b"two")
    memory = feed(
        Notice(10, text, "one", PEER), *EventReader().read("log", line), times=(7.0, 9.0)
    )
    pair = builders.selector("10.1.0.0/24", "10.3.0.0/24")
    both = frozenset({pair, TrafficSelector(pair.remote, pair.local)})
    assert memory.refusals == {"one": Refusal(both, 7.0), "two": Refusal(both, 9.0)}
    assert codes(memory) == dict.fromkeys(("one", "two"), "traffic_selector_mismatch")
    assert memory.keep_only({"one"}).refusals == {"one": Refusal(both, 7.0)}


@given(st.text(max_size=80) | st.from_regex(r"[0-9a-f:./]+ === [0-9a-f:./ ]+", fullmatch=True))
def test_any_text_of_a_refusal_is_read(text: str) -> None:
    """A peer's own networks are in it, and it may be cut off anywhere."""
    assert isinstance(refused(Notice(10, text, "one", PEER)), frozenset)


# Reading


def test_a_record_of_error_notify() -> None:
    """A record has its type in network order and texts that end at the first NUL."""
    record = struct.pack("!I384s64s256s60s", 8, b"did not match", b"two\0rest", b"id", b"::1[500]")
    assert parse_record(record) == Notice(8, "did not match", "two", "::1", "id")


def log(group: bytes, text: bytes, name: bytes = b"", thread: bytes = b"7") -> dict[str, bytes]:
    return {"group": group, "msg": text, "ikesa-name": name, "thread": thread}


def test_a_log_line_without_config_has_its_threads_peer() -> None:
    """The packet that a thread received last tells whose its next line is."""
    reader = EventReader()
    received = b"received packet: from 192.0.2.2[500] to 192.0.2.1[500] (96 bytes)"
    assert reader.read("log", log(b"NET", received)) == ()
    text = b"generating INFORMATIONAL_V1 request 12 [ N(NO_PROP) ]"
    expected = Exchange("", PEER, False, "INFORMATIONAL_V1", True, frozenset({"N(NO_PROP)"}))
    assert reader.read("log", log(b"ENC", text, b"(unnamed)")) == (expected,)
    (other,) = reader.read("log", log(b"ENC", text, b"two", b"8"))
    assert other == dataclasses.replace(expected, config="two", peer="")


def test_lines_that_do_not_matter() -> None:
    """Other groups, other texts and other events mean nothing."""
    reader = EventReader()
    assert reader.read("log", log(b"IKE", b"parsed IKE_AUTH response 1 [ N(AUTH_FAILED) ]")) == ()
    assert reader.read("log", log(b"ENC", b"something else")) == ()
    assert reader.read("unknown", {}) == ()


def test_a_packet_that_the_kernel_refused() -> None:
    """The reason is the system's."""
    text = b"error writing to socket: Network is unreachable"
    assert EventReader().read("log", log(b"NET", text)) == (Unsendable("Network is unreachable"),)


def test_updowns() -> None:
    """An updown carries the SA under its config's name; without `up` it is down."""
    body = {"uniqueid": b"3", "state": b"ESTABLISHED", "child-sas": {}}
    child = {"name": b"c", "uniqueid": b"4", "state": b"DELETED"}
    reader = EventReader()
    assert reader.read("ike-updown", {"up": b"yes", "x": body}) == (
        IkeChange("x", 3, up=True, state=SaState.ESTABLISHED),
    )
    assert reader.read("child-updown", {"x": {**body, "child-sas": {"c-4": child}}}) == (
        ChildChange("x", up=False, state=SaState.DELETED),
    )
    assert reader.read("ike-rekey", {"x": {"old": body, "new": {**body, "uniqueid": b"5"}}}) == (
        IkeRekeyed("x", 3, 5),
    )


def test_a_failure_that_is_read_after_the_success_that_ended_it_goes() -> None:
    """charon tells on two sockets; what is wholly up doesn't fail."""
    up = ChildChange("two", up=True, state=SaState.INSTALLED)
    late = notice(2, "two", PEER)
    memory = feed(up, late, times=(1.0, 1.1))
    assert codes(memory) == {"two": "psk_or_id_mismatch"}
    assert codes(memory.outlived(["one"], 60.0)) == codes(memory)
    assert codes(memory.outlived(["two"], 1.0)) == codes(memory), "it was seen before that"
    assert codes(memory.outlived(["two"], 2.0)) == {}


def test_a_success_that_is_told_of_while_an_older_list_is_read_ends_no_failure_yet() -> None:
    """Else what failed and isn't up would look as if it had never been tried."""
    failed = feed(notice(2, "two", PEER))
    over = failed.feed(ChildChange("two", up=True, state=SaState.INSTALLED), FACTS, 1.0)
    assert over.faults == ()
    assert over.as_listed(failed.faults, {"two"}) == failed.faults
    assert over.as_listed(failed.faults, set()) == (), "the list has it, or its config is gone"
    assert failed.as_listed(failed.faults, {"two"}) == failed.faults


def test_a_cause_that_is_read_before_the_end_that_it_explains_is_told() -> None:
    """Though it was still seen up between them, but not for long."""
    memory = feed(UP, notice(3, "two"))
    for end in (ENDED, ChildChange("two", up=False, state=SaState.DELETING)):
        assert codes(memory.outlived(["two"], 2.0).feed(end, FACTS, 3.0)) == {
            "two": "psk_mismatch"
        }
    late = memory.outlived(["two"], 2.0).outlived(["two"], 7.0)
    assert late.known == frozenset()
    assert codes(late.feed(LOST, FACTS, 8.0)) == {"two": "dpd_timeout"}


def test_what_was_overcome_is_no_beginning_of_what_fails_next() -> None:
    """The grace of what carries on counts from its own first failure, and so do pauses."""
    memory = feed(UP, notice(3, "two"), times=(0.0, 1.0)).outlived(["two"], 2.0)
    (fault,) = memory.feed(answer("N(NO_PROP)", kind="CREATE_CHILD_SA"), FACTS, 4.0).faults
    assert (fault.code, fault.first, fault.last) == ("esp_proposal_mismatch", 4.0, 4.0)


def test_a_renewal_that_is_refused_is_told_for_some_seconds() -> None:
    """What it is to renew is still up, and says nothing of it."""
    refusal = answer("N(NO_PROP)", kind="CREATE_CHILD_SA")
    memory = feed(UP, refusal, times=(0.0, 1.0))
    assert codes(memory.outlived(["two"], 6.0)) == {"two": "esp_proposal_mismatch"}
    assert codes(memory.outlived(["two"], 6.1)) == {}
    assert memory.outlived(["two"], 6.1).known == frozenset()


def test_the_end_of_one_of_several_ike_sas_is_no_failure() -> None:
    """Both sides began at once, and the peer deletes the one that isn't needed."""
    other = dataclasses.replace(UP, unique_id=2)
    gone = ChildChange("two", up=False, state=SaState.DELETING)
    assert codes(feed(UP, other, DELETE, gone, ENDED)) == {}
    assert codes(feed(UP, DELETE, gone)) == {"two": "peer_deleted"}
