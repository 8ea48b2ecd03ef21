import pytest
from oslo_config import cfg

from swanherd.core.failures import Temporary
from swanherd.rpc import server
from swanherd.rpc.client import ServerClient
from swanherd.rpc.patience import Patience
from swanherd.rpc.transport import open_transport


class Handler:
    """Answers with no router."""

    def get_router(self, host, router_id):
        return None

    def get_revisions(self, host):
        return {"r": 3}

    def report_status(self, host, reports):
        """Take none."""


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
    patience.answered()
    assert patience.seconds == 3.0
    assert Patience(2.0).seconds == 2.0


def test_what_was_lost_while_nobody_listened_is_answered_when_asked_again(bus):
    """A call without a server fails by the set time, as Temporary; the next one succeeds."""
    client = ServerClient(bus, "node-1", timeout=0.2)
    with pytest.raises(Temporary) as failure:
        client.get_revisions()
    assert failure.value.reason.code == "server_unreachable"
    listening = server.start(Handler(), bus, "server-1", workers=1)
    try:
        assert client.get_revisions() == {"r": 3}
        assert client.get_router("r") is None
    finally:
        listening.stop()  # its idle threads end in the second that waiting would take
