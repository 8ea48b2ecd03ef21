"""Who works on the same router waits for the other; on another one nobody waits."""

import threading

from swanherd.server.turns import Turns


def test_the_same_key_is_had_by_one_at_a_time_and_others_are_free():
    """Eight threads for one key; a ninth for another one comes through meanwhile."""
    turns, inside, most = Turns(), [], []
    go = threading.Event()

    def work():
        with turns.of("r"):
            inside.append(1)
            most.append(len(inside))
            go.wait(10)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    with turns.of("other"):
        assert len(turns) == 2
    go.set()
    for thread in threads:
        thread.join(5)
    assert most == [1] * 8
    assert len(turns) == 0
