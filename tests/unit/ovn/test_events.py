"""Events of OVN's databases: which router they name, and when."""

import threading
from types import SimpleNamespace

import pytest
from ovsdbapp import event as ovsdb_event
from ovsdbapp.backend.ovs_idl import event as row_event

from swanherd.core.steering import public_port_id
from swanherd.ovn import events

MOVED = "11111111-0000-0000-0000-000000000000"
GATEWAY = "22222222-0000-0000-0000-000000000000"
PORT = public_port_id(MOVED)


class Handler(ovsdb_event.RowEventHandler):
    """As Neutron's: events that are global come to every process, the others to one."""

    def tell(self, row, old, *, owner=True):
        update = row_event.RowEvent.ROW_UPDATE
        for is_global in (True, False) if owner else (True,):
            for each in list(self._watched_events):
                if getattr(each, "GLOBAL", False) != is_global:
                    continue
                if self.match(each, update, row, old):
                    self.notifications.put((each, update, row, old))


class Slow(row_event.RowEvent):
    """An event of Neutron's that waits for the message bus."""

    def __init__(self):
        super().__init__((self.ROW_UPDATE,), "Port_Binding", None)
        self.begun, self.over = threading.Event(), threading.Event()

    def match_fn(self, event, row, old):
        return True

    def run(self, event, row, old):
        self.begun.set()
        self.over.wait(10)


class Watch:
    """One process that watches; what it was told."""

    def __init__(self):
        self.handler, self.slow = Handler(), Slow()
        self.handler.watch_event(self.slow)
        self.mine, self.somewhere, self.ports = [], [], []
        self.looked = threading.Event()
        backend = SimpleNamespace(idl=SimpleNamespace(notify_handler=self.handler))
        listener = events.Listener(
            changed=lambda _: self.looked.set(),
            gateway_moved=self.mine.append,
            gateway_moved_somewhere=lambda *moved: self.somewhere.append(moved),
            public_port_moved=self.ports.append,
        )
        events.watch(backend, backend, listener)

    def close(self):
        self.slow.over.set()
        self.handler.shutdown()
        self.handler.notify_thread.join(5)


@pytest.fixture
def watch():
    watching = Watch()
    yield watching
    watching.close()


def row(table, **columns):
    """As the library has rows; one that is old has the columns that have changed."""
    return SimpleNamespace(_table=SimpleNamespace(name=table, columns={}), **columns)


def binding(kind="chassisredirect"):
    datapath = SimpleNamespace(external_ids={"name": f"neutron-{MOVED}"})
    name = f"cr-lrp-{GATEWAY}"
    return row("Port_Binding", type=kind, logical_port=name, datapath=datapath, chassis=["c2"])


BEFORE = row("Port_Binding", chassis=["c1"])


def port(host, name=PORT):
    options = {"requested-chassis": host}
    ids = {"neutron:device_id": MOVED}
    return row("Logical_Switch_Port", name=name, options=options, external_ids=ids)


def test_a_moved_gateway_is_told_while_an_event_of_neutrons_waits(watch):
    """Neutron's events wait for a bus that is away; to follow the gateway doesn't."""
    watch.handler.tell(binding(), BEFORE)
    assert watch.slow.begun.wait(5)
    assert watch.mine == [MOVED]
    watch.slow.over.set()
    assert watch.looked.wait(5)


def test_every_process_is_told_of_a_moved_gateway(watch):
    """The one that the hash ring names may be dead."""
    watch.handler.tell(binding(), BEFORE, owner=False)
    assert watch.somewhere == [(MOVED, GATEWAY)]
    assert watch.mine == []
    assert not watch.looked.is_set()


@pytest.mark.parametrize(
    ("now", "before"),
    [(binding("patch"), BEFORE), (binding(), row("Port_Binding", up=[True]))],
    ids=["another kind of port", "another column"],
)
def test_what_moves_no_gateway_is_not_told(watch, now, before):
    """Only the chassis of a router's redirect port counts."""
    watch.handler.tell(now, before)
    assert watch.mine == watch.somewhere == []


@pytest.mark.parametrize(
    ("now", "before", "told"),
    [
        (port("a"), row("Logical_Switch_Port", options={"requested-chassis": "b"}), [MOVED]),
        (port("a"), row("Logical_Switch_Port", options={"requested-chassis": "a"}), []),
        (port("a"), row("Logical_Switch_Port", up=[False]), []),
        (port("a", "other"), row("Logical_Switch_Port", options={}), []),
    ],
    ids=["moved", "another option", "another column", "a port of a workload"],
)
def test_a_public_port_that_moves_is_told(watch, now, before, told):
    """At once, as the transit goes with it."""
    watch.handler.tell(now, before)
    assert watch.ports == told
