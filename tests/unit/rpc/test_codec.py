import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanherd.core.model import (
    DesiredRouter,
    Dpd,
    DpdAction,
    Initiator,
    Reason,
    RouterReport,
    RowStatus,
    Secret,
    Status,
)
from swanherd.rpc import codec
from swanherd.testing import builders as make

texts = st.text(max_size=20)
reasons = st.builds(Reason, texts, texts, texts)
rows = st.builds(
    RowStatus,
    texts,
    st.sampled_from(Status),
    st.none() | reasons,
    st.none() | st.integers(68, 65535),
)
reports = st.builds(
    RouterReport,
    texts,
    st.integers(0),
    st.integers(0),
    st.lists(rows, max_size=3).map(tuple),
    st.lists(rows, max_size=3).map(tuple),
)


@given(reports)
def test_a_report_crosses_the_bus_unchanged(report):
    """load(json(dump(x))) is x."""
    assert report == codec.load(RouterReport, json.loads(json.dumps(codec.dump(report))))


@given(st.sampled_from(Initiator), st.sampled_from(DpdAction), texts, st.booleans())
def test_desired_state_crosses_the_bus_unchanged(initiator, action, key, wired):
    """load(json(dump(x))) is x, both families, with and without ports."""
    value = make.desired(
        make.connection(
            initiator=initiator,
            dpd=Dpd(action, 1, 2),
            psk=Secret(key),
            selectors=(make.selector("fd00::/64", "fd01::/64"),),
        ),
        problems=((make.ROUTER, Reason("code", "text")),),
        **({} if wired else {"public": None, "transit": None}),
    )
    assert value == codec.load(DesiredRouter, json.loads(json.dumps(codec.dump(value))))


def test_a_newer_peer_may_send_more():
    """Unknown keys are ignored."""
    plain = codec.dump(make.desired(make.connection()))
    plain["news"] = 1
    plain["connections"][0]["news"] = 1
    assert make.desired(make.connection()) == codec.load(DesiredRouter, plain)


def test_nonsense_is_told_without_quoting_it():
    """A value that can't be read raises ValueError without any of its content."""
    plain = codec.dump(make.desired(make.connection(psk=Secret("hush"))))
    plain["connections"][0]["mtu"] = "hush"
    with pytest.raises(ValueError, match="not a DesiredRouter") as caught:
        codec.load(DesiredRouter, plain)
    assert "hush" not in str(caught.value)


def on_the_bus(router):
    return json.loads(json.dumps(codec.dump(router)))


def answer(router, reader):
    """Return what the server answers the reader, as it is read from the bus."""
    known = reader.tags(router.id)
    return json.loads(json.dumps(codec.difference(codec.dump(router), known)))


def test_an_unchanged_connection_is_neither_sent_nor_built_again():
    """What changed, came or went is as it should be; the others are the same objects."""
    names = ("a", "b", "c")
    first = make.desired(*(make.connection(n) for n in names))
    reader = codec.RouterReader()
    before = reader.read(answer(first, reader))
    assert before == first
    changed = make.connection("b", mtu=1300)
    second = make.desired(first.connections[0], changed, make.connection("d"), revision=2)
    told = answer(second, reader)
    assert [body["id"] for body in told["connections"]] == [c.id for c in second.connections[1:]]
    after = reader.read(told)
    assert after == second
    assert after.connections[0] is before.connections[0]
    reader.forget(first.id)
    assert reader.read(answer(second, reader)).connections[0] is not after.connections[0]


changes = st.lists(
    st.tuples(
        st.lists(
            st.tuples(st.sampled_from("abcd"), st.integers(1280, 1283)),
            unique_by=lambda item: item[0],
        ),
        st.sampled_from(("one", "other")),
        st.sampled_from(("told", "lost", "restarted", "whole")),
    ),
    max_size=8,
)


@given(changes)
def test_whatever_was_told_before_the_router_is_read_as_it_is(history):
    """Lost answers, restarts of the agent, servers without tags, another key: always the whole."""
    reader = codec.RouterReader()
    for connections, key, what in history:
        router = make.desired(
            *(make.connection(name, mtu=mtu) for name, mtu in connections),
            naming_key=Secret(key),
        )
        told = on_the_bus(router) if what == "whole" else answer(router, reader)
        if what == "lost":
            continue
        if what == "restarted":
            reader = codec.RouterReader()
            told = answer(router, reader)
        assert reader.read(told) == router


def test_an_answer_that_leaves_out_what_isnt_known_is_refused_and_all_is_asked_for():
    """As after a restart while it was under way; the next question knows nothing."""
    router = make.desired(make.connection("a"), make.connection("b"))
    before, after = codec.RouterReader(), codec.RouterReader()
    before.read(answer(router, before))
    with pytest.raises(ValueError, match="not all of a DesiredRouter"):
        after.read(answer(router, before))
    assert after.tags(router.id) == {}
    assert after.read(answer(router, after)) == router


def test_a_tag_needs_the_key():
    """Who has no naming key can't guess a PSK by its tag."""
    tags = []
    for key in ("one", "other"):
        router = make.desired(make.connection("a"), naming_key=Secret(key))
        tags.append(codec.difference(codec.dump(router), {})["tags"])
    assert tags[0].keys() == tags[1].keys()
    assert tags[0] != tags[1]


def test_what_is_no_router_is_refused_by_the_reader_too():
    """Without a word of what was in it."""
    plain = on_the_bus(make.desired(make.connection("a", psk=Secret("hidden"))))
    plain["connections"][0]["mtu"] = "hidden"
    for bad in (plain, {}, {"connections": ["hidden"]}):
        with pytest.raises(ValueError, match="not a") as caught:
            codec.RouterReader().read(bad)
        assert "hidden" not in str(caught.value)


def test_what_is_known_as_something_else_is_not_taken_for_what_is_left_out():
    """Then all of it is asked for the next time."""
    reader = codec.RouterReader()
    plain = codec.dump(make.desired(make.connection()))
    reader.read(codec.difference(plain, {}))
    (known,) = reader.tags(make.ROUTER).items()
    with pytest.raises(ValueError, match="isn't known"):
        reader.read({**plain, "connections": [], "tags": {known[0]: "another"}})
    assert reader.tags(make.ROUTER) == {}
