import threading
import time

from swanherd.agent.doctor import Doctor
from swanherd.core.findings import PathSeen
from swanherd.core.model import DataPlane
from swanherd.testing import builders as make

PEERS = make.desired(
    *(make.connection(str(n), peer_address=f"198.51.100.{n + 1}") for n in range(20))
)


def test_questions_to_peers_leave_room_for_turns():
    """However many ask: a privsep helper does 16 things at once, and silent peers take long."""
    asked, most, lock, too_many = 0, 0, threading.Lock(), threading.Event()

    def probe(*_):
        nonlocal asked, most
        with lock:
            asked += 1
            most = max(most, asked)
            if asked > 8:
                too_many.set()
        too_many.wait(0.05)  # time for others to come
        with lock:
            asked -= 1
        return PathSeen(None, (), echo=False, largest=None)

    doctor = Doctor(DataPlane.KERNEL, None, None, probe, None, time.monotonic)
    asking = [threading.Thread(target=doctor._paths, args=(PEERS, None)) for _ in range(3)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join(10)
    assert most == 8
