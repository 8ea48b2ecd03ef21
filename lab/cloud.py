"""One cloud of a running lab, as the demo and the scenario tests use it."""

from __future__ import annotations

import dataclasses
import signal
from typing import Any

from lab import neutron, ovn, services
from lab.boxes import Box
from lab.clients import connect
from lab.layout import CloudPlan, Lab


@dataclasses.dataclass(frozen=True, slots=True)
class Cloud:
    """Cloud a or b; SDK connections work after `lab.user.enter()`."""

    lab: Lab
    name: str

    @property
    def plan(self) -> CloudPlan:
        """Its chassis and addresses."""
        return self.lab.shape.cloud(self.name)

    @property
    def central(self) -> Box:
        """The box with the API, the databases of OVN and the first gateway."""
        return Box(self.lab, self.plan.central.name)

    @property
    def gateways(self) -> tuple[Box, ...]:
        """The boxes of the gateway chassis."""
        return tuple(Box(self.lab, c.name) for c in self.plan.gateways)

    @property
    def computes(self) -> tuple[Box, ...]:
        """The boxes of the compute chassis."""
        return tuple(Box(self.lab, c.name) for c in self.plan.computes)

    def connect(self, who: str = "demo") -> Any:
        """Return a new SDK connection as `demo` or `other` (ordinary users) or `admin`."""
        return connect(self.lab, self.name if who == "demo" else f"{who}-{self.name}")

    def start_service(self, name: str, box: Box | None = None) -> None:
        """Start a service that was stopped, as it was."""
        where = box or self.central
        services.start(where, services.find(where, name).service)

    def stop_service(
        self, name: str, sig: signal.Signals = signal.SIGTERM, box: Box | None = None
    ) -> None:
        """Stop a service by a signal (SIGKILL: at once)."""
        services.stop(box or self.central, name, sig)

    def restart_service(
        self, name: str, sig: signal.Signals = signal.SIGTERM, box: Box | None = None
    ) -> None:
        """Stop a service and start it again."""
        services.restart(box or self.central, name, sig)

    def ovn_db_sync(self, mode: str) -> str:
        """Run Neutron's OVN synchronisation (`log`, `repair`, `migrate`); return what it said."""
        file = str(neutron.configuration(self.lab, self.plan, self.central))
        done = self.central.run(
            [
                *(*self.plan.program("neutron-ovn-db-sync-util"), "--config-file", file),
                *("--ovn-neutron_sync_mode", mode),
            ],
            timeout=120,
        )
        return done.stdout + done.stderr

    def nbctl(self, *arguments: str) -> str:
        """Run ovn-nbctl in the central box and return its output."""
        return self.central.run(["ovn-nbctl", *arguments]).stdout

    def sbctl(self, *arguments: str) -> str:
        """Run ovn-sbctl in the central box and return its output."""
        return self.central.run(["ovn-sbctl", *arguments]).stdout

    def wait_for_chassis(self) -> None:
        """Wait until every chassis is registered."""
        ovn.wait_for_chassis(self.lab, self.plan)
