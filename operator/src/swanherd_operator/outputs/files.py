"""Configuration files for a cloud that was made by hand or by scripts of one's own."""

from __future__ import annotations

from swanherd_operator.document import Backend, Deployment
from swanherd_operator.enabling import Images, settings

_ROUTER_PLUGIN = {Backend.OVS: "router", Backend.OVN: "ovn-router"}


def render(deployment: Deployment, images: Images | None, *, enabled: bool) -> str:
    """Return what each file gets, under its name; nothing if disabled."""
    if not enabled:
        return (
            "# Take swanherd out of service_plugins and extensions, and restart.\n"
            "# The tables and their rows stay where they are.\n"
        )
    wanted = settings(deployment.backend)
    router = _ROUTER_PLUGIN[deployment.backend]
    parts = [
        _file(
            "/etc/neutron/neutron.conf, on every controller",
            f"[DEFAULT]\n# beside what else is there\nservice_plugins = {router},swanherd\n",
        )
    ]
    if wanted.own_agent:
        parts.append(
            _file(
                "/etc/swanherd/swanherd.conf, on every gateway chassis, readable by root only",
                "[DEFAULT]\n"
                "# the chassis' hostname as OVN knows it\n"
                "host = HOSTNAME\n"
                "transport_url = rabbit://USER:PASSWORD@BUS:5672/\n\n"
                "[ovs]\novsdb_connection = unix:/run/openvswitch/db.sock\n",
            )
        )
    else:
        parts.append(
            _file(
                "/etc/neutron/l3_agent.ini, on every node with an L3 agent",
                "[agent]\n# beside what else is there\nextensions = swanherd\n",
            )
        )
    parts.append(
        _file(
            "then, once",
            "neutron-db-manage --config-file /etc/neutron/neutron.conf "
            "--subproject swanherd upgrade heads\n"
            "# and restart the API, neutron-rpc-server, neutron-periodic-workers"
            + (", neutron-ovn-maintenance-worker\n" if wanted.own_agent else ", the L3 agents\n"),
        )
    )
    return "\n".join(parts)


def _file(name: str, text: str) -> str:
    return f"# --- {name}\n{text}"
