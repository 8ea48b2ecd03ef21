import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swanherd.server.api.bodies import refusal
from tests.examples import times

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(value=VALUES)
@times(5)
def test_only_numbers_that_are_none_are_refused(value):
    """JSON has no infinity and no NaN, whatever Python's reader takes."""
    text = json.dumps({"ikepolicy": {"name": value}})
    finite = not any(word in _numbers(text) for word in ("NaN", "Infinity", "-Infinity"))
    assert (refusal(text.encode(), "ikepolicy", "ikepolicies") is None) is finite


def _numbers(text):
    """Return the constants that Python's reader takes and JSON has not."""
    found = []
    json.loads(text, parse_constant=found.append)
    return found


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"[]", "object"),
        (b"7", "object"),
        (b'{"r": {}, "rs": []}', "either 'r' or 'rs'"),
        (b'{"r": "text"}', "'r' must be"),
        (b'{"rs": [{}, "text"]}', "'rs' must be"),
        (b'{"r": {"dpd": {"interval": 1e999}}}', "'dpd'"),
        (b'{"r": {"name": ' + b"[" * 40 + b"]" * 40 + b"}}", "'name'"),
        (b"[" * 100_000, "nested"),
    ],
)
def test_what_is_wrong_is_named(text, told):
    """A 400 tells the field, or what the body must be."""
    assert told in refusal(text, "r", "rs")


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b'{"r": {"a": [1, "x", null, 1.5]}}'])
def test_what_is_fine_or_neutrons_own_to_refuse_is_let_through(text):
    """No body, no JSON, and what an attribute may be."""
    assert refusal(text, "r", "rs") is None
