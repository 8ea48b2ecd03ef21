"""Events of OVN's databases: which router they name, and when."""

import threading
from types import SimpleNamespace

import pytest
from ovsdbapp import event as ovsdb_event
from ovsdbapp.backend.ovs_idl import event as row_event

from swanherd.ovn import events

MOVED = "11111111-0000-0000-0000-000000000000"


class Handler(ovsdb_event.RowEventHandler):
    """As Neutron's: events that are global come to every process, the others to one."""

    def tell(self, row, old, *, owner):
        for is_global in (True, False) if owner else (True,):
            for each in self._watched_events:
                if getattr(each, "GLOBAL", False) == is_global and self.match(
                    each, row_event.RowEvent.ROW_UPDATE, row, old
                ):
                    self.notifications.put((each, row_event.RowEvent.ROW_UPDATE, row, old))


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
        self.moved, self.looked = [], threading.Event()
        idl = SimpleNamespace(idl=SimpleNamespace(notify_handler=self.handler))
        other = SimpleNamespace(idl=SimpleNamespace(notify_handler=Handler()))
        events.watch(other, idl, lambda _: self.looked.set(), self.moved.append)
        self.other = other.idl.notify_handler

    def close(self):
        self.slow.over.set()
        for handler in (self.handler, self.other):
            handler.shutdown()
            handler.notify_thread.join(5)


@pytest.fixture
def watch():
    watching = Watch()
    yield watching
    watching.close()


TABLE = SimpleNamespace(name="Port_Binding", columns={})


def old(**columns):
    return SimpleNamespace(_table=TABLE, **columns)


def redirect(**columns):
    datapath = SimpleNamespace(external_ids={"name": f"neutron-{MOVED}"})
    row = {"type": "chassisredirect", "datapath": datapath, "_table": TABLE, "chassis": ["c2"]}
    return SimpleNamespace(**row | columns)


def test_a_moved_gateway_is_told_while_an_event_of_neutrons_waits(watch):
    """Neutron's events wait for a bus that is away; to follow the gateway doesn't."""
    watch.handler.tell(redirect(), old(chassis=["c1"]), owner=True)
    assert watch.slow.begun.wait(5)
    assert watch.moved == [MOVED]
    watch.slow.over.set()
    assert watch.looked.wait(5)


def test_every_process_is_told_of_a_moved_gateway(watch):
    """Not only the one that the hash ring names, which may be dead: that one looks at all."""
    watch.handler.tell(redirect(), old(chassis=["c1"]), owner=False)
    assert watch.moved == [MOVED]
    assert not watch.looked.is_set()


@pytest.mark.parametrize(
    ("row", "before"),
    [
        (redirect(type="patch"), old(chassis=["c1"])),
        (redirect(), old(up=[True])),
    ],
    ids=["another kind of port", "another column"],
)
def test_what_moves_no_gateway_is_not_told(watch, row, before):
    """Only the chassis of a router's redirect port counts."""
    watch.handler.tell(row, before, owner=True)
    assert watch.moved == []
