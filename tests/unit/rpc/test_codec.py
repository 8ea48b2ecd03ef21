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


def test_an_unchanged_connection_is_the_same_object_when_a_router_is_read_again():
    """What changed, came or went is as the dict says; nothing else is built anew."""
    names = ("a", "b", "c")
    first = make.desired(*(make.connection(n) for n in names))
    reader = codec.RouterReader()
    before = reader.read(on_the_bus(first))
    assert before == first
    changed = make.connection("b", mtu=1300)
    second = make.desired(first.connections[0], changed, make.connection("d"), revision=2)
    after = reader.read(on_the_bus(second))
    assert after == second
    assert after.connections[0] is before.connections[0]
    reader.forget(first.id)
    assert reader.read(on_the_bus(second)).connections[0] is not after.connections[0]


def test_what_is_no_router_is_refused_by_the_reader_too():
    """Without a word of what was in it."""
    plain = on_the_bus(make.desired(make.connection("a", psk=Secret("hidden"))))
    plain["connections"][0]["mtu"] = "hidden"
    for bad in (plain, {}, {"connections": ["hidden"]}):
        with pytest.raises(ValueError, match="not a") as caught:
            codec.RouterReader().read(bad)
        assert "hidden" not in str(caught.value)
