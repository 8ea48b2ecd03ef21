import dataclasses
import gc

from swanherd.core.memo import equal, includes, remember, remember_each, remember_pair
from swanherd.testing import builders as make


def test_work_is_done_once_for_each_object_and_arguments():
    """An equal object is another one; other arguments are other work, and the last ones count."""
    calls = []

    @remember
    def work(connection, number):
        calls.append((connection.id, number))
        return object()

    one = make.connection("one")
    first = work(one, 1)
    assert work(one, 1) is first
    assert work(one, 2) is not first
    work(dataclasses.replace(one), 2)
    assert calls == [(one.id, 1), (one.id, 2), (one.id, 2)]


def test_nothing_is_kept_of_what_is_gone():
    """Neither the object nor the result, whose place another object may take."""
    alive = []

    class Result:
        def __init__(self):
            alive.append(self)

        def __del__(self):
            gone.append(1)

    gone = []

    @remember
    def work(connection):
        result = Result()
        alive.clear()
        return result

    for _ in range(100):
        work(make.connection("c"))
    gc.collect()
    assert len(gone) == 100


def test_a_pair_is_forgotten_with_either_of_its_two():
    """Another object in its place is other work."""
    calls = []

    @remember_pair
    def work(one, other):
        calls.append(1)
        return one.id == other.id

    kept = make.connection("kept")
    for number in range(50):
        other = make.connection(f"{number}")
        assert not work(kept, other)
        assert not work(other, kept)
        assert not work(kept, other)
    assert len(calls) == 100


def test_large_values_are_compared_once():
    """By what they are, as `==` and `<=` would."""
    compared = []

    class Element:
        def __init__(self, value):
            self.value = value

        def __hash__(self):
            return 1

        def __eq__(self, other):
            compared.append(1)
            return self.value == other.value

    one, same, other = (frozenset({Element(value)}) for value in (1, 1, 2))
    assert [equal(one, same), equal(one, other), equal(one, None)] == [True, False, False]
    assert [includes(one, same), includes(one, other)] == [True, False]
    before = len(compared)
    assert [equal(one, same), includes(one, other)] == [True, False]
    assert len(compared) == before


def each(calls):
    """Return what joins the ids of two connections, and takes note of what it works for."""

    @remember_each
    def work(one, other, number=0):
        calls.append((one.id, other.id, number))
        return (one.id, other.id, number)

    return work


def test_of_many_only_the_new_ones_are_worked_for():
    """In the order of the sequences; another second one is other work, and so is another rest."""
    calls = []
    work = each(calls)
    a, b, c = (make.connection(name) for name in "abc")
    assert work([a, b], [c, c]) == [(a.id, c.id, 0), (b.id, c.id, 0)]
    assert work((b, a), (c, c)) == [(b.id, c.id, 0), (a.id, c.id, 0)]
    assert len(calls) == 2
    assert work([a, b], [c, a]) == [(a.id, c.id, 0), (b.id, a.id, 0)]
    assert len(calls) == 3
    assert work([a], [c], rest=(1,)) == [(a.id, c.id, 1)]
    assert work([a], [c]) == [(a.id, c.id, 0)]
    assert len(calls) == 4


def test_what_is_missing_has_no_result():
    """Neither where the first is missing nor the second, also if it was there before."""
    calls = []
    work = each(calls)
    a, b = make.connection("a"), make.connection("b")
    assert work([a, None, a], [b, b, b])[1] is None
    assert work([a], [None]) == [None]
    assert work([a], [b]) == [(a.id, b.id, 0)]


def test_of_many_nothing_is_kept_of_what_is_gone():
    """Another object in the place of either is other work."""
    calls = []
    work = each(calls)
    kept = make.connection("kept")
    for number in range(50):
        name = str(number)
        assert work([kept], [make.connection(name)])[0][1] == make.connection(name).id
        assert work([make.connection(name)], [kept])[0][0] == make.connection(name).id
    assert len(calls) == 100
