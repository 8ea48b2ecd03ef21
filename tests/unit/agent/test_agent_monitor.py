import contextlib
import http.client
import json
import logging
import socket
import stat
import subprocess
import sys
import time

import pytest
from oslo_config import cfg
from prometheus_client.parser import text_string_to_metric_families

from swanherd.agent import control
from swanherd.agent.exposition import Page
from swanherd.agent.life import Life
from swanherd.agent.listener import Address, Listener, listening
from swanherd.agent.monitor import Monitor, about
from swanherd.config import agent as options
from swanherd.core.failures import Temporary
from swanherd.core.health import Southbound
from swanherd.core.model import DataPlane, Reason
from swanherd.core.tally import Tally
from swanherd.core.tunnels import Timing
from swanherd.reconcile.loop import World
from swanherd.reconcile.wheel import Wheel
from swanherd.testing import builders as make
from swanherd.testing.charon import FakeCharon
from swanherd.testing.node import FakeNode


class Server:
    def __init__(self, *routers):
        self.routers = {router.id: router for router in routers}

    def get_router(self, router_id):
        return self.routers.get(router_id)

    def get_revisions(self):
        return {i: router.revision for i, router in self.routers.items()}

    def report(self, reports):
        pass


class Charon(FakeCharon):
    """One that may not answer."""

    deaf = False

    def observe(self, router_id, spis=frozenset(), *, recent=False):
        if self.deaf:
            raise Temporary(router_id, Reason("charon_silent", "strongSwan doesn't answer."))
        return super().observe(router_id, spis, recent=recent)


class Counts:
    """What is known of daemons without asking them."""

    def tally(self, _router_id):
        return Tally()

    def memory(self, _router_id):
        return 9_000_000


class Stage:
    """An agent without its threads: what turns is called by hand."""

    def __init__(self, *routers):
        self.charon, self.southbound = Charon(), Southbound(True, False)
        server = Server(*routers)
        world = World(server, FakeNode(), self.charon, DataPlane.KERNEL)
        self.wheel = Wheel(world, server, Timing(0.0), time.monotonic, lambda: 0.0)
        self.monitor = Monitor(
            about("ovn", DataPlane.KERNEL), self.wheel, Counts(), 20.0, lambda: self.southbound
        )
        self.wheel.start(1)

    def turn(self, router_id=make.ROUTER):
        """Look until there is a report of what is so now."""
        before = self.wheel.turns.count
        self.wheel.look_again(router_id)
        until(lambda: self.wheel.turns.count > before and not len(self.wheel))


def until(met, limit=5.0):
    deadline = time.monotonic() + limit
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def stage():
    made = Stage(make.desired(make.connection()))
    yield made
    made.wheel.stop()


@pytest.fixture(autouse=True)
def ended_at_once(monkeypatch):
    """A listener's end isn't waited for a tenth of a second."""
    monkeypatch.setattr(control, "_POLL", 0.005)


@contextlib.contextmanager
def served(monitor, path=""):
    listener = Listener(Address("127.0.0.1", 0, path), Page(monitor.metrics).parts, monitor.health)
    listener.ensure()
    try:
        yield listener
    finally:
        listener.stop()


def get(port, path):
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.closing(link):
        link.request("GET", path)
        answer = link.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read().decode()


def test_prometheus_reads_the_page(stage):
    """With the process's own metrics in it; a broken request harms nobody."""
    stage.turn()
    with served(stage.monitor) as listener:
        status, kind, page = get(listener.port, "/metrics")
        assert (status, kind.partition(";")[0]) == (200, "text/plain")
        found = {f.name: f for f in text_string_to_metric_families(page)}
        assert found["swanherd_connection_up"].samples[0].labels["router_id"] == make.ROUTER
        assert found["process_resident_memory_bytes"].samples[0].value > 1e6
        assert found["swanherd_turn_duration_seconds"].type == "histogram"
        with socket.create_connection(("127.0.0.1", listener.port)) as rude:
            rude.sendall(b"\0\0\r\n\r\n")
        assert get(listener.port, "/")[0] == 404


def test_what_breaks_is_no_empty_page(caplog):
    """Prometheus must see that the scrape failed, and the log why."""

    def broken():
        raise LookupError("no such thing")

    listener = Listener(Address("127.0.0.1", 0), Page(broken).parts, lambda: None)
    listener.ensure()
    try:
        with pytest.raises(http.client.RemoteDisconnected):
            get(listener.port, "/metrics")
        until(lambda: "no such thing" in caplog.text)
    finally:
        listener.stop()


def test_readiness_and_liveness_are_two_things(stage):
    """The bus isn't there yet: not ready, and no reason for a restart. The body says why."""
    stage.turn()
    with served(stage.monitor) as listener:
        assert get(listener.port, "/livez")[0] == 200
        status, kind, body = get(listener.port, "/readyz")
        assert (status, kind) == (503, "application/json")
        wrong = [c for c in json.loads(body)["checks"] if not c["ok"]]
        assert [(c["name"], c["reason"]["code"]) for c in wrong] == [("bus", "server_unreachable")]
        stage.monitor.server_answered()
        assert get(listener.port, "/readyz")[0] == get(listener.port, "/healthz")[0] == 200
        stage.southbound = Southbound(False, True)
        assert get(listener.port, "/healthz")[0] == 503
        assert "swanherd_fenced 1\n" in get(listener.port, "/metrics")[2]


def test_a_daemon_that_does_not_answer_makes_it_not_ready(stage):
    """As soon as a turn has noticed, and until one has found it answering."""
    stage.monitor.server_answered()
    stage.turn()
    assert stage.monitor.health().ready
    stage.charon.deaf = True
    stage.turn()
    health = stage.monitor.health()
    assert (health.alive, health.ready) == (True, False)
    assert [c.reason.code for c in health.checks if not c.ok] == ["charon_silent"]
    failing = {f.metric.name: dict(f.samples) for f in stage.monitor.metrics()}
    assert failing["swanherd_router_failing"] == {(make.ROUTER, "qvpn", "charon_silent"): 1}
    stage.charon.deaf = False
    stage.turn()
    assert stage.monitor.health().ready


def test_nothing_of_a_scrape_asks_anybody(stage):
    """Neither charon nor the node, however often it is read."""
    stage.turn()
    before = stage.charon.calls
    for _ in range(3):
        stage.monitor.metrics()
        stage.monitor.health()
    assert stage.charon.calls == before


def test_an_address_that_is_taken_is_tried_again(stage):
    """Meanwhile the agent works, and the log says why nothing is served."""
    with served(stage.monitor) as first:
        second = Listener(
            Address("127.0.0.1", first.port), Page(stage.monitor.metrics).parts, lambda: None
        )
        with pytest.raises(Temporary, match="metrics_unserved"):
            second.ensure()
    second.ensure()
    assert second.port
    second.stop()
    second.ensure()
    assert second.port == 0


def test_a_unix_socket_is_for_user_and_group(stage, tmp_path):
    """A stale one is replaced, any other file stays; nothing is left after the end."""
    path = tmp_path / "metrics.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    with served(stage.monitor, str(path)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(path))
            link.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
            assert link.recv(100).startswith(b"HTTP/1.0 200")
    assert not path.exists()
    path.write_text("mine")
    with pytest.raises(Temporary), served(stage.monitor, str(path)):
        pass
    assert path.read_text() == "mine"


def test_it_is_on_by_default_on_loopback_and_can_be_off(stage, caplog):
    """`[metrics] enabled`, address, port."""
    conf = cfg.ConfigOpts()
    options.register(conf)
    conf([])
    assert (conf.metrics.enabled, conf.metrics.address) == (True, "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    conf.set_override("port", port, group="metrics")
    life = Life()
    with caplog.at_level(logging.INFO):
        stop = listening(conf.metrics, stage.monitor, life)
        until(lambda: "are served at" in caplog.text)
    assert get(port, "/livez")[0] == 200
    life.end()
    stop()
    conf.set_override("enabled", False, group="metrics")
    listening(conf.metrics, stage.monitor, Life())()
    with pytest.raises(ConnectionRefusedError):
        get(port, "/livez")


def test_more_requests_than_places_are_turned_away_at_once(stage):
    """Whoever holds connections open without asking can't use the agent's threads up."""
    with served(stage.monitor) as listener:
        address = ("127.0.0.1", listener.port)
        held = [socket.create_connection(address) for _ in range(4)]
        until(lambda: listener.busy == 4)
        with socket.create_connection(address) as one_more:
            one_more.settimeout(5)
            assert one_more.recv(1) == b""
        for link in held:
            link.close()
        until(lambda: listener.busy == 0)
        assert get(listener.port, "/livez")[0] == 200


def test_it_is_the_standard_librarys_server_beside_eventlet():
    """In Neutron's agents eventlet leaves a server of its own in the package `http`."""
    script = (
        "import http.server, socketserver, eventlet.green.BaseHTTPServer\n"
        "from swanherd.agent import listener\n"
        "assert socketserver.TCPServer in listener._Server.__mro__\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True, timeout=60)
