"""Neutron's own agents for Open vSwitch: one programs the switch, one has the routers.

A gateway's L3 agent has the mode dvr_snat: it takes legacy and HA routers and the central part of
distributed ones. A compute's has the mode dvr: the part of distributed routers for its workloads.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence

import amqp  # type: ignore[import-untyped]

from lab import agents, neutron_user, services
from lab.boxes import Box, search_path
from lab.layout import BUS_PASSWORD, Chassis, CloudPlan, Lab
from lab.netns import within
from lab.services import Service

L2_AGENT = "neutron-openvswitch-agent"
L3_AGENT = "neutron-l3-agent"
TOPICS = ("q-plugin", "q-l3-plugin", "q-reports-plugin")  # what the agents ask at their start

CONFIGURATION = """\
[DEFAULT]
agent_mode = {mode}
enable_metadata_proxy = False
[agent]
# Everything is root's here, and sudo needn't be installed.
root_helper = env
extensions = {extensions}
# A keepalived that has died is no standby until it is started again.
check_child_processes_interval = 5
tunnel_types = vxlan
l2_population = True
enable_distributed_routing = True
[ovs]
datapath_type = netdev
bridge_mappings = public:br-ex
local_ip = {underlay}
[securitygroup]
firewall_driver = openvswitch
"""


def has_swanherd_extension() -> bool:
    """Whether this tree has Swanherd's extension of the L3 agent."""
    group = "neutron.agent.l3.extensions"
    return "swanherd" in importlib.metadata.entry_points(group=group).names


def write_configuration(lab: Lab, cloud: CloudPlan, chassis: Chassis) -> None:
    """Write the configuration of a chassis' agents; each agent takes what is its own."""
    box = Box(lab, chassis.name)
    for agent in (L2_AGENT, L3_AGENT):
        ours = lab.shape.swanherd and not cloud.predecessor and has_swanherd_extension()
        loaded = agent == L3_AGENT and ours
        text = configuration(lab, cloud, chassis, "swanherd" if loaded else "")
        (box.directory / f"{agent}.conf").write_text(text)


def configuration(lab: Lab, cloud: CloudPlan, chassis: Chassis, extensions: str = "") -> str:
    """Return what an agent of a chassis reads."""
    return agents.head(lab, cloud, chassis) + CONFIGURATION.format(
        mode="dvr_snat" if chassis.gateway else "dvr",
        underlay=chassis.underlay(cloud.number),
        extensions=extensions,
    )


def wait_for_rpc(lab: Lab, cloud: CloudPlan, topics: Sequence[str] = TOPICS) -> None:
    """Wait until the server listens: what an agent asks before that is lost, for a minute."""
    box = Box(lab, cloud.central.name)

    def listens() -> bool:
        address = f"{cloud.api_address}:5672"
        with amqp.Connection(host=address, userid="swanherd", password=BUS_PASSWORD) as bus_:
            try:
                for topic in topics:
                    bus_.channel().queue_declare(topic, passive=True)
            except amqp.exceptions.NotFound:
                return False
        return True

    services.wait(box, cloud.rpc_service, lambda: within(box, listens), 90, "doesn't listen")


def met(log: str, pid: int, router_id: str) -> bool:
    """Tell whether the L3 agent of this process id says in its log that it met a router."""
    _, began, said = log.rpartition(f" {pid} INFO neutron.common.config [-] Logging enabled!")
    return bool(began) and f"Finished a router update for {router_id}," in said


def start_agent(lab: Lab, cloud: CloudPlan, chassis: Chassis, agent: str) -> None:
    """Start an agent of a chassis; what it starts lives on when it is stopped."""
    box = Box(lab, chassis.name)
    file = str(box.directory / f"{agent}.conf")
    argv: tuple[str, ...] = (f"{cloud.neutron}/bin/{agent}", "--config-file", file)
    if agent == L3_AGENT and lab.shape.neutron_user:
        known = (box.directory / f"{agent}.conf").read_text()
        path = neutron_user.prepare(box, cloud, known)
        argv = (*neutron_user.RUN, argv[0], "--config-file", str(path))
    env = {"PATH": search_path(cloud.neutron)}
    services.start(box, Service(agent, argv, env, alone=True))
