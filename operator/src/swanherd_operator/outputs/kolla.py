"""Variables for kolla-ansible's globals.yml."""

from __future__ import annotations

from typing import Any

from swanherd_operator.document import Deployment
from swanherd_operator.enabling import Images, settings
from swanherd_operator.outputs import texts

_SERVERS = ("neutron_server", "neutron_rpc_server", "neutron_periodic_worker")


def variables(deployment: Deployment, images: Images | None, *, enabled: bool) -> dict[str, Any]:
    """Return the variables; the images are kolla's `…_image_full`."""
    found: dict[str, Any] = {"enable_neutron_vpnaas": enabled}
    if not enabled:
        return found
    own = settings(deployment.backend).own_agent
    found["neutron_plugin_agent"] = "ovn" if own else "openvswitch"
    if images is not None:
        agent = "neutron_ovn_vpn_agent" if own else "neutron_l3_agent"
        found |= {f"{name}_image_full": images.server for name in _SERVERS}
        found[f"{agent}_image_full"] = images.agent
    return found


def render(deployment: Deployment, images: Images | None, *, enabled: bool) -> str:
    """Return the variables as YAML."""
    return texts.yaml_of(variables(deployment, images, enabled=enabled))
