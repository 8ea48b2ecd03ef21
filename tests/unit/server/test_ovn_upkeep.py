import threading
import types
import warnings

import pytest
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.plugins import directory

with warnings.catch_warnings():
    # futurist imports eventlet where it is installed, which warns.
    warnings.simplefilter("ignore")
    from futurist import periodics
    from neutron.plugins.ml2.drivers.ovn.mech_driver.ovsdb import worker

    from swanherd.server import ovn_upkeep
    from swanherd.server.compat import class_of, wsgi


class Task:
    """Tells with which client it was made, when it runs."""

    def __init__(self, client):
        self.client = client
        self.ran = threading.Event()

    @periodics.periodic(spacing=30, run_immediately=True)
    def run(self):
        self.ran.set()


@pytest.fixture
def made():
    return []


@pytest.fixture
def upkeep(made, monkeypatch):
    """An upkeep in a process whose ML2 plugin has an OVN driver."""
    driver = types.SimpleNamespace(obj=types.SimpleNamespace(_ovn_client="the driver's"))
    manager = types.SimpleNamespace(mech_drivers={"ovn": driver})
    core = types.SimpleNamespace(mechanism_manager=manager)
    monkeypatch.setattr(directory, "get_plugin", lambda: core)

    def make(client):
        made.append(Task(client))
        return made[-1:]

    yield (upkeep := ovn_upkeep.Upkeep(make))
    registry.unsubscribe_all(upkeep._process_started)


def started(trigger):
    registry.publish(resources.PROCESS, events.AFTER_INIT, trigger)


def test_without_being_asked_it_runs_in_the_maintenance_worker_alone(upkeep, made):
    """Neutron 24 and 26: the event's trigger is a method of the worker."""
    started(wsgi.WorkerService)
    assert not made
    started(worker.MaintenanceWorker().start)
    (task,) = made
    assert task.client == "the driver's"
    assert task.ran.wait(10)


def test_a_driver_that_asks_runs_it_itself(upkeep, made):
    """Neutron 29 asks before: nothing runs twice."""
    (task,) = upkeep.hand_over("asked")
    started(worker.MaintenanceWorker())
    assert made == [task]
    assert task.client == "asked"


def test_what_a_process_event_is_about_is_told_in_each_releases_way():
    """A class (26's API), a method (24 and 26), an object (29)."""
    one = worker.MaintenanceWorker()
    for trigger in (worker.MaintenanceWorker, one, one.start):
        assert class_of(trigger) is worker.MaintenanceWorker
