"""The probe that openstack-helm runs beside a Neutron agent finds ours alive."""

import oslo_messaging
import pytest
from oslo_config import cfg
from oslo_messaging import conffixture

from swanherd.rpc import client
from swanherd.rpc.topics import AGENT_TOPIC
from swanherd.rpc.transport import open_transport

# What openstack-helm's health-probe.py asks for, and by what it knows an agent that lives.
METHOD = "pod_health_probe_method_ignore_errors"
ALIVE = "Endpoint does not support RPC method"


def test_a_method_that_nobody_has_is_answered_as_the_probe_expects():
    """And is no hint: nothing is looked at for it."""
    conf = cfg.ConfigOpts()
    conf([])
    conffixture.ConfFixture(conf).transport_url = "fake:/"
    hints = []
    server = client.listen(conf, "gw1", hints.append)
    try:
        target = oslo_messaging.Target(topic=AGENT_TOPIC, server="gw1")
        probe = oslo_messaging.get_rpc_client(open_transport(conf), target, timeout=5)
        with pytest.raises(oslo_messaging.NoSuchMethod, match=ALIVE):
            probe.call({}, METHOD)
    finally:
        server.stop()  # its idle threads end in the second that waiting would take
    assert hints == []
