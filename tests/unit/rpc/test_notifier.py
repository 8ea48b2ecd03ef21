import threading

import oslo_messaging
import pytest
from oslo_config import cfg

from swanherd.core.model import RouterId
from swanherd.rpc.notifier import AgentNotifier
from swanherd.rpc.transport import open_transport


class Bus:
    """A client whose first cast breaks."""

    def __init__(self, error):
        self.error = error
        self.told = threading.Event()

    def prepare(self, server):
        return self

    def cast(self, context, method, router_id):
        if router_id == "bad":
            raise self.error
        self.told.set()


@pytest.mark.parametrize("error", [oslo_messaging.MessagingTimeout(), OSError("a library's")])
def test_a_hint_that_cannot_be_sent_keeps_none_from_being_sent(error):
    """The thread that sends them is one for all, and isn't started again."""
    conf = cfg.CONF
    conf([], project="swanherd-test", default_config_files=[])
    open_transport(conf)
    conf.set_override("transport_url", "fake://")
    try:
        notifier = AgentNotifier(conf)
        notifier._client = bus = Bus(error)
        notifier.router_changed("host", RouterId("bad"))
        notifier.router_changed("host", RouterId("good"))
        assert bus.told.wait(5)
    finally:
        conf.reset()
        conf.clear_override("transport_url")
