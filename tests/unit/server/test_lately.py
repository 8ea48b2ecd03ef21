"""What is remembered of users' lists has a bound, however long and many they are."""

import weakref

from hypothesis import given
from hypothesis import strategies as st

from swanherd.server.db.lately import lately
from tests.examples import times


class Result(list):
    """A result that tells when it is gone."""


def counting(most):
    calls, made = [], []

    @lately(most)
    def work(one, other):
        calls.append((one, other))
        made.append(weakref.ref(result := Result(one + other)))
        return result

    return work, calls, made


def test_equal_arguments_are_worked_on_once():
    """By value; the least lately asked for is forgotten first."""
    work, calls, _ = counting(2 * 8 * 3)
    for number in (1, 1, 2, 1):
        assert work((number,), ()) == [number]
    assert calls == [((1,), ()), ((2,), ())]
    for number in range(3, 18):
        work((number,), ())
    work((1,), ())
    assert calls.count(((1,), ())) == 1
    work((2,), ())
    assert calls.count(((2,), ())) == 2


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=40))
@times(2)
def test_no_more_is_kept_than_the_bound(lengths):
    """Whatever comes in whatever order; the answer is that of the function."""
    work, _, made = counting(200)
    for number, (one, other) in enumerate(lengths):
        first, second = (number,) * one, (-number,) * other
        assert work(first, second) == [*first, *second]
        alive = [result for result in (reference() for reference in made) if result is not None]
        assert sum(1 + 2 * len(result) for result in alive) <= 200
