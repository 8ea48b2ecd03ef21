"""The Neutron service plugin: the composition root of the server's side."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from neutron.api import extensions as api_extensions
from neutron.worker import PeriodicWorker
from neutron_lib.api.definitions import (
    servicetype,
    vpn,
    vpn_aes_ccm_gcm,
    vpn_endpoint_groups,
    vpn_flavors,
)
from neutron_lib.plugins import constants as plugin_const
from neutron_lib.plugins import directory
from neutron_lib.services import base as service_base
from oslo_config import cfg
from oslo_log import log as logging

from swanherd.config import server as options
from swanherd.core.model import RouterId
from swanherd.rpc import server as rpc_server
from swanherd.rpc.notifier import AgentNotifier
from swanherd.server import compat, guards, keys
from swanherd.server.api import definitions, masking
from swanherd.server.backend import Backend, NoBackend
from swanherd.server.db import vault
from swanherd.server.db.repository import Repository
from swanherd.server.handler import AgentHandler
from swanherd.server.intake import Intake
from swanherd.server.looker import Looker
from swanherd.server.placement import data_planes
from swanherd.server.providers import Providers
from swanherd.server.resources.connections import Connections
from swanherd.server.resources.endpoint_groups import EndpointGroups
from swanherd.server.resources.policies import Policies
from swanherd.server.resources.scheduling import AgentScheduling
from swanherd.server.resources.vpnservices import VpnServices
from swanherd.server.strength import Strength
from swanherd.server.sweep import Sweep, periodic_sweep

LOG = logging.getLogger(__name__)

EXTENSIONS_PATH = os.path.join(os.path.dirname(__file__), "api", "extensions")
_UNSUPPORTED = ("contrail", "opencontrail", "tungsten", "opensdn")


def refuse_unsupported(core_plugin: str) -> None:
    """End the server with one sentence where no VPN of ours could ever work."""
    if any(name in core_plugin.lower() for name in _UNSUPPORTED):
        raise SystemExit(
            f"Swanherd doesn't support OpenSDN (Tungsten Fabric): core_plugin is {core_plugin!r}; "
            "remove swanherd from service_plugins."
        )


class SwanherdPlugin(
    VpnServices,
    Connections,
    Policies,
    EndpointGroups,
    AgentScheduling,
    service_base.ServicePluginBase,
):
    """VPNaaS v2.0 on what serves the cloud's routers."""

    supported_extension_aliases = (
        vpn.ALIAS,
        vpn_endpoint_groups.ALIAS,
        vpn_flavors.ALIAS,
        definitions.AES_CTR.ALIAS,
        vpn_aes_ccm_gcm.ALIAS,
        servicetype.ALIAS,
        definitions.STATUS_REASON.ALIAS,
        definitions.POLICY_UPDATE_IN_USE.ALIAS,
        definitions.CONNECTION_DETAILS.ALIAS,
        definitions.CONNECTION_MOVE.ALIAS,
        definitions.AGENT_SCHEDULER.ALIAS,
    )
    path_prefix = vpn.API_PREFIX
    # Neutron looks these names up by the plugin class's name.
    _SwanherdPlugin__native_pagination_support = True
    _SwanherdPlugin__native_sorting_support = True
    _SwanherdPlugin__filter_validation_support = compat.FILTERS_ARE_NAMED

    def __init__(self) -> None:
        super().__init__()
        refuse_unsupported(cfg.CONF.core_plugin or "")
        options.register(cfg.CONF)
        self._conf = cfg.CONF.swanherd
        api_extensions.append_api_extensions_path([EXTENSIONS_PATH])
        self._notifier: AgentNotifier | None = None
        self._rpc: Any = None
        vault.use(keys.keyring(cfg.CONF))
        self.store = Repository()
        self.looker = Looker(self.store, self._hint)
        self.backend = _backend(self.store, self.looker)
        self.looker.backend = self.backend
        self.intake = Intake(
            self.store, self._conf.pending_create_timeout, self._conf.details_interval
        )
        self.data_planes = data_planes
        self.strength = Strength(self._conf.weak_algorithms)
        self.providers = Providers()
        self.sweep = Sweep(
            self.store,
            self.intake,
            self.looker,
            self.providers.adopt,
            takes_over=takes_over(self._conf.take_over, self.backend),
        )
        guards.subscribe()
        masking.install()
        if self.backend.has_maintenance_worker:
            from swanherd.server.ovn_upkeep import Upkeep

            self._upkeep = Upkeep(self._periodics)
        else:
            interval = self._conf.sweep_interval
            worker = PeriodicWorker(self.sweep.run_safely, interval, interval)
            worker.desc = "vpn-sweep"  # 26 and before take none
            self.add_worker(worker)

    @classmethod
    def get_plugin_type(cls) -> str:
        """Return the service type."""
        return str(plugin_const.VPN)

    def get_plugin_description(self) -> str:
        """Return what the plugin is."""
        return "Swanherd VPN service"

    def start_rpc_listeners(self) -> list[Any]:
        """Serve agents from this process (neutron-rpc-server calls it)."""
        handler = AgentHandler(self.store, self.backend, self.intake)
        self._rpc = rpc_server.start(handler, cfg.CONF, cfg.CONF.host, self._conf.rpc_workers)
        return [self._rpc]

    def ovn_maintenance_periodics(self, ovn_client: Any) -> Sequence[Any]:
        """Return what the OVN maintenance worker runs for us."""
        return self._upkeep.hand_over(ovn_client)

    def _periodics(self, ovn_client: Any) -> Sequence[Any]:
        """Return the sweep and the backend's own; the worker runs on every controller."""
        idl = ovn_client._nb_idl.idl  # noqa: SLF001 - the one way to Neutron's own lock
        sweep = periodic_sweep(
            self.sweep, self._conf.sweep_interval, lambda: not idl.is_lock_contended
        )
        return [sweep, *self.backend.maintenance_periodics(ovn_client)]

    def _hint(self, host: str, router_id: RouterId) -> None:
        # Made at the first hint: after the process was forked, and never where there is no agent.
        if self._notifier is None:
            self._notifier = AgentNotifier(cfg.CONF)
        self._notifier.router_changed(host, router_id)


def takes_over(setting: str, backend: Backend) -> bool:
    """Tell whether routers that another plugin served are taken over without a request."""
    return setting == "at_once" or not backend.leaves_others


def _backend(store: Repository, looker: Looker) -> Backend:
    """Return the backend that fits the cloud: what serves its routers."""
    drivers = getattr(directory.get_plugin(), "mechanism_manager", None)
    mechanisms = drivers.mech_drivers if drivers is not None else ()
    if "ovn" in mechanisms:
        from swanherd.server.ovn_backend import OvnBackend

        return OvnBackend(store, looker.look, looker.tell)
    if "openvswitch" in mechanisms:
        from swanherd.server.l3_backend import L3Backend

        return L3Backend(store, looker.look)
    LOG.warning(
        "Neither OVN's nor Open vSwitch's mechanism driver: VPN services are stored but nothing "
        "serves them."
    )
    return NoBackend(store)
