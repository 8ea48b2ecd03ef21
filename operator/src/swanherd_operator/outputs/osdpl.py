"""A patch of the OpenStackDeployment for clouds of Mirantis OpenStack for Kubernetes.

Its controller renders everything else from the flag. Only images have to be told, under
`spec.services.networking.neutron.values`, where a deployment overrides the chart's values.
"""

from __future__ import annotations

from typing import Any

from swanherd_operator.document import FLAG, Deployment
from swanherd_operator.enabling import Images, settings
from swanherd_operator.outputs import texts

SERVERS = (
    *("neutron_db_sync", "neutron_server", "neutron_rpc_server"),
    *("neutron_periodic_workers", "neutron_ovn_maintenance"),
)


def patch(deployment: Deployment, images: Images | None, *, enabled: bool) -> dict[str, Any]:
    """Return a merge patch (RFC 7396): null removes. Disabling takes our images back, too."""
    found: dict[str, Any] = {}
    place = found
    *sections, flag = FLAG.split(".")
    for key in sections:
        place = place.setdefault(key, {})
    place[flag] = enabled
    if enabled and images is None:
        return found
    own = settings(deployment.backend).own_agent
    agent = "neutron_ovn_vpn_agent" if own else "neutron_l3"
    server, its = (images.server, images.agent) if enabled and images else (None, None)
    tags = {**dict.fromkeys(SERVERS, server), agent: its}
    found["spec"]["services"] = {"networking": {"neutron": {"values": {"images": {"tags": tags}}}}}
    return found


def render(deployment: Deployment, images: Images | None, *, enabled: bool) -> str:
    """Return the patch as YAML, for `kubectl patch --type merge`."""
    return texts.yaml_of(patch(deployment, images, enabled=enabled))


def merged(document: Any, change: Any) -> Any:
    """Return a document after a merge patch (RFC 7396 §2); neither is touched."""
    if not isinstance(change, dict):
        return change
    result = dict(document) if isinstance(document, dict) else {}
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result
