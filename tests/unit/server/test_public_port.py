"""Who works on the same router's public port waits for the other; on another's nobody waits."""

import threading
from concurrent import futures

from swanherd.core.model import RouterId
from swanherd.server.public_port import PublicPorts


class Watched(PublicPorts):
    """Tells how many are at work on a router at once; none ends before it may."""

    def __init__(self):
        super().__init__()
        self.go = threading.Event()
        self.inside, self.most = [], []

    def _ensure(self, context, router_id, network_id, host):
        self.inside.append(router_id)
        self.most.append(self.inside.count(router_id))
        self.go.wait(10)
        self.inside.remove(router_id)


def test_a_port_is_made_by_one_thread_after_another():
    """Eight threads for one router; a ninth for another one comes through meanwhile."""
    ports = Watched()
    with futures.ThreadPoolExecutor(9) as pool:
        done = [pool.submit(ports.ensure, None, RouterId("r"), "net", "g1") for _ in range(8)]
        done.append(pool.submit(ports.ensure, None, RouterId("other"), "net", "g1"))
        while set(ports.inside) != {"r", "other"}:
            assert not futures.wait(done, 0.01).done
        ports.go.set()
    assert [future.result() for future in done] == [None] * 9
    assert ports.most == [1] * 9
