"""What runs in OVN's maintenance worker, also in releases of Neutron that ask no plugin for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from neutron.plugins.ml2.drivers.ovn.mech_driver.ovsdb import maintenance, worker
from neutron_lib.callbacks import events, priority_group, registry, resources
from neutron_lib.plugins import directory

from swanherd.server.compat import class_of

_LATE = priority_group.PRIORITY_DEFAULT + 1000


class Upkeep:
    """Hands `periodics` to the OVN driver when it asks; runs them beside it if it never does.

    Neutron 24 and 26 have the worker but no way for a plugin to add to it.
    """

    def __init__(self, periodics: Callable[[Any], Sequence[Any]]) -> None:
        self._periodics = periodics
        self._asked = False
        # After ML2's OVN driver: by then it has asked, or never will.
        registry.subscribe(self._process_started, resources.PROCESS, events.AFTER_INIT, _LATE)

    def hand_over(self, ovn_client: Any) -> Sequence[Any]:
        """Return the periodics to the driver that asks."""
        self._asked = True
        return self._periodics(ovn_client)

    def _process_started(self, resource: str, event: str, trigger: Any, payload: Any) -> None:
        if self._asked or class_of(trigger) is not worker.MaintenanceWorker:
            return
        driver = directory.get_plugin().mechanism_manager.mech_drivers["ovn"].obj
        thread = maintenance.MaintenanceThread()
        for each in self._periodics(driver._ovn_client):  # noqa: SLF001 - as Neutron 29 hands it
            thread.add_periodics(each)
        thread.start()
