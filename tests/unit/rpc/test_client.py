import contextlib
import dataclasses
import threading

import oslo_messaging
import pytest
from oslo_config import cfg

from swanherd.core.failures import Temporary
from swanherd.core.model import RouterReport, RowStatus, Status
from swanherd.rpc import codec, server
from swanherd.rpc.client import MOST_ROWS, ServerClient
from swanherd.rpc.patience import Patience
from swanherd.rpc.topics import SERVER_TOPIC, VERSION
from swanherd.rpc.transport import open_transport
from swanherd.testing import builders as make


class Handler:
    """Answers with no router."""

    def get_router(self, host, router_id):
        return None

    def get_revisions(self, host):
        return {"r": 3}

    def report_status(self, host, reports):
        """Take none, and say that another host serves all that this one holds."""
        return {r.router_id: r.held / 2 for r in reports if r.held is not None}


@pytest.fixture
def bus():
    """A bus in memory."""
    conf = cfg.CONF  # oslo.messaging knows no other for its tracing
    conf([], project="swanherd-test", default_config_files=[])
    open_transport(conf)
    conf.set_override("transport_url", "fake://")
    yield conf
    conf.reset()
    conf.clear_override("transport_url")


def test_patience_grows_with_each_missed_answer_and_begins_anew_with_one():
    """A lost message costs 3 s; a slow server gets the time it needs, and no more than is set."""
    patience = Patience(15.0)
    waits = []
    for _ in range(5):
        waits.append(patience.seconds)
        patience.missed()
    assert waits == [3.0, 6.0, 12.0, 15.0, 15.0]
    patience.answered(0.1)
    assert patience.seconds == 3.0
    assert Patience(2.0).seconds == 2.0


def test_patience_learns_how_slow_a_server_is():
    """One that takes four seconds isn't asked twice each time; an outage teaches nothing."""
    patience = Patience(15.0)
    patience.missed()
    patience.answered(4.0)
    assert patience.seconds == 8.0
    patience.answered(60.0)
    assert patience.seconds == 8.0
    patience.answered(0.5)
    assert patience.seconds == 3.0


def answered(ask):
    """Return the answer to a question; a busy machine may miss the short time that one has."""
    for _ in range(4):
        with contextlib.suppress(Temporary):
            return ask()
    return ask()


def test_what_was_lost_while_nobody_listened_is_answered_when_asked_again(bus, monkeypatch):
    """A call without a server fails by the set time, as Temporary; the next one succeeds."""
    monkeypatch.setattr(Patience.__init__, "__defaults__", (0.2,))
    client = ServerClient(bus, "node-1", timeout=5)
    with pytest.raises(Temporary) as failure:
        client.get_revisions()
    assert failure.value.reason.code == "server_unreachable"
    listening = server.start(Handler(), bus, "server-1", workers=1)
    try:
        assert answered(client.get_revisions) == {"r": 3}
        assert answered(lambda: client.get_router("r")) is None
    finally:
        listening.stop()  # its idle threads end in the second that waiting would take


def test_a_short_answer_that_comes_takes_no_patience_from_a_long_one(bus, monkeypatch):
    """Else a router that takes four seconds to tell is asked for three seconds for ever."""
    monkeypatch.setattr(Patience.__init__, "__defaults__", (0.2,))
    client = ServerClient(bus, "node-1", timeout=5)
    with pytest.raises(Temporary):
        client.get_router("r")
    listening = server.start(Handler(), bus, "server-1", workers=1)
    try:
        answered(client.get_revisions)
    finally:
        listening.stop()
    assert client._patience["get_router"].seconds == 0.4
    assert client._patience["get_revisions"].seconds == 0.2


def test_a_report_is_answered_with_what_others_serve(bus):
    """Of a router whose address both nodes have; a server of an older release says nothing."""
    listening = server.start(Handler(), bus, "server-1", workers=1)
    client = ServerClient(bus, "node-1", timeout=5)
    held = RouterReport("r", 1, 1, (), (), held=90.0)
    try:
        assert answered(lambda: client.report([held])) == {"r": 45.0}
        assert answered(lambda: client.report([dataclasses.replace(held, held=None)])) == {}
    finally:
        listening.stop()
    client._call = lambda *_: None
    assert client.report([held]) == {}


class SlowHandler(Handler):
    """Takes its first report in only when it may."""

    def __init__(self):
        self.taken = []
        self.began = threading.Event()
        self.overtaken = threading.Event()
        self.may = threading.Event()

    def report_status(self, host, reports):
        if not self.began.is_set():
            self.began.set()
            assert self.may.wait(20)
        else:
            self.overtaken.set()
        self.taken += [report.revision for report in reports]
        return {}


def test_many_reports_are_told_in_several_messages(bus):
    """The rows of all routers of one are locked at once, while requests for these wait."""
    messages = []

    class Taking(Handler):
        def report_status(self, host, reports):
            messages.append(list(reports))
            return super().report_status(host, reports)

    def of(number, rows):
        row = RowStatus("c", Status.ACTIVE)
        return RouterReport(f"r{number}", 1, 1, (row,), (row,) * rows, held=90.0)

    client = ServerClient(bus, "host", 5.0)
    listening = server.start(Taking(), bus, "server-1", workers=1)
    try:
        reports = [*(of(number, 99) for number in range(5)), of(5, 3 * MOST_ROWS), of(6, 0)]
        assert answered(lambda: client.report(reports)) == {f"r{n}": 45.0 for n in range(7)}
        assert [len(reports) for reports in messages] == [3, 2, 1, 1]
        assert [report for told in messages for report in told] == reports
    finally:
        listening.stop()


def test_no_report_is_taken_in_before_an_earlier_one(bus):
    """A server works on several messages at once: "swapping" would be shown after ACTIVE."""
    handler = SlowHandler()
    listening = server.start(handler, bus, "server-1", workers=4)
    client = ServerClient(bus, "node-1", timeout=20)
    client._patience["report_status"] = Patience(20.0, first=20.0)
    reports = [RouterReport("r", revision, 1, (), ()) for revision in (1, 2)]

    def tell():
        for report in reports:
            client.report([report])

    teller = threading.Thread(target=tell)
    teller.start()
    try:
        assert handler.began.wait(20)
        handler.overtaken.wait(0.3)  # time for the second one, if it is sent
        handler.may.set()
        teller.join(20)
    finally:
        listening.stop()
    assert handler.taken == [1, 2]


def test_a_report_that_nobody_takes_in_is_known_not_to_be(bus):
    """So that it is told again."""
    client = ServerClient(bus, "node-1", timeout=0.2)
    with pytest.raises(Temporary):
        client.report([RouterReport("r", 1, 1, (), ())])


class BrokenHandler(Handler):
    """Has a bug."""

    def get_revisions(self, host):
        return {}["nothing"]

    def report_status(self, host, reports):
        raise ValueError("no such thing")


def test_a_bug_of_the_server_breaks_no_agent(bus):
    """Python's own exceptions cross the bus as what they are; a thread of the agent would end."""
    listening = server.start(BrokenHandler(), bus, "server-1", workers=1)
    client = ServerClient(bus, "node-1", timeout=5)
    try:
        for ask in (client.get_revisions, lambda: client.report([])):
            with pytest.raises(Temporary) as failure:
                ask()
            assert failure.value.reason.code == "server_unreachable"
    finally:
        listening.stop()


class Older:
    """A server of before version 1.1: it answers whole."""

    target = oslo_messaging.Target(version=VERSION)

    def get_router(self, _context, host, router_id):
        return codec.dump(ROUTER)


ROUTER = make.desired(make.connection("a"), make.connection("b"))


def test_a_server_of_an_earlier_version_is_asked_for_all_of_a_router(bus):
    """At once, without patience lost: during an upgrade agents may be newer than servers."""
    listening = oslo_messaging.get_rpc_server(
        open_transport(bus),
        oslo_messaging.Target(topic=SERVER_TOPIC, server="older"),
        [Older()],
        executor="threading",
    )
    listening.start(override_pool_size=1)
    client = ServerClient(bus, "node-1", timeout=5)
    try:
        for _ in range(2):
            assert client.get_router(ROUTER.id) == ROUTER
    finally:
        listening.stop()


def test_a_connection_that_is_known_does_not_cross_the_bus_again(bus):
    """The second answer has the same objects."""
    handler = Handler()
    handler.get_router = lambda host, router_id: ROUTER
    listening = server.start(handler, bus, "server-1", workers=1)
    client = ServerClient(bus, "node-1", timeout=5)
    try:
        first, second = (client.get_router(ROUTER.id) for _ in range(2))
    finally:
        listening.stop()
    assert first == second == ROUTER
    assert all(a is b for a, b in zip(first.connections, second.connections, strict=True))
