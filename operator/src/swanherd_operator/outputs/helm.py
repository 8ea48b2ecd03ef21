"""Values for openstack-helm's chart `neutron`."""

from __future__ import annotations

from typing import Any

from swanherd_operator.document import Backend, Deployment
from swanherd_operator.enabling import Images, settings
from swanherd_operator.outputs import texts

SERVERS = ("neutron_db_sync", "neutron_server", "neutron_rpc_server")


def values(deployment: Deployment, images: Images | None, *, enabled: bool) -> dict[str, Any]:
    """Return the values; where disabled, those that switch off what the others switch on."""
    wanted = settings(deployment.backend)
    if not enabled:
        return {"manifests": {"daemonset_ovn_vpn_agent": False}} if wanted.own_agent else {}
    found: dict[str, Any] = {
        "conf": {
            "neutron": {
                # A list in one text: the chart takes the last one whole.
                "DEFAULT": {"service_plugins": _plugins(deployment.backend)},
                "service_providers": {"service_provider": wanted.service_provider},
            }
        }
    }
    if wanted.own_agent:
        found["conf"]["ovn_vpn_agent"] = {
            "DEFAULT": {"interface_driver": "openvswitch"},
            "ovs": {"ovsdb_connection": "tcp:127.0.0.1:6640"},
            "vpnagent": {"vpn_device_driver": wanted.device_driver},
        }
        found["manifests"] = {"daemonset_ovn_vpn_agent": True}
    else:
        found["conf"]["l3_agent"] = {
            "agent": {"extensions": wanted.l3_extension},
            "vpnagent": {"vpn_device_driver": wanted.device_driver},
        }
    if images is not None:
        agent = "neutron_ovn_vpn" if wanted.own_agent else "neutron_l3"
        found["images"] = {"tags": dict.fromkeys(SERVERS, images.server) | {agent: images.agent}}
    return found


def render(deployment: Deployment, images: Images | None, *, enabled: bool) -> str:
    """Return the values as YAML."""
    return texts.yaml_of(values(deployment, images, enabled=enabled))


def _plugins(backend: Backend) -> str:
    router = "ovn-router" if backend is Backend.OVN else "router"
    return f"{router},{settings(backend).service_plugin}"
