import dataclasses
import gc

from swanherd.core.memo import remember
from swanherd.testing import builders as make


def test_work_is_done_once_for_each_object_and_arguments():
    """An equal object is another one; other arguments are other work."""
    calls = []

    @remember
    def work(connection, number):
        calls.append((connection.id, number))
        return object()

    one = make.connection("one")
    assert work(one, 1) is work(one, 1)
    assert work(one, 2) is not work(one, 1)
    work(dataclasses.replace(one), 1)
    assert calls == [(one.id, 1), (one.id, 2), (one.id, 1)]


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
