import dataclasses
import gc

from swanherd.core.memo import equal, includes, remember, remember_pair
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
