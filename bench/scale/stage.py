"""A node with the real agent, and a host with all of its peers, as two boxes and a wire."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from oslo_config import cfg

from bench.scale import wanted
from bench.scale.server import StandIn
from lab import bus, neutron, services, wires
from lab import up as lifecycle
from lab.boxes import Box
from lab.layout import VENV, Lab
from lab.netns import enter
from lab.openvswitch import OVSDB
from lab.processes import wait_for
from lab.services import Service
from swanherd.config import agent as options
from swanherd.core.ike import CharonOptions, LoadConfig, LoadSecret, StartCharon
from swanherd.core.model import DataPlane, RouterId, SiteConnection
from swanherd.core.peering import ike_config
from swanherd.core.steering import public_port_id
from swanherd.dataplane import daemons
from swanherd.swan.adapter import StrongSwan
from swanherd.swan.charon import Surroundings
from swanherd.testing import builders

PEERS = RouterId(builders.make_id("peers"))
_NODE, _PEERS = "a-gw", "peers"
_AGENT_CONF = "swanherd-agent.conf"


class Peers:
    """One charon that is the peer of every connection."""

    def __init__(self, box: Box, state: Path) -> None:
        self._box = box
        around = Surroundings(state, self._spawn, self._inode, daemons, time.monotonic)
        self.swan = StrongSwan(around, lambda _: None)
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, count: int, plane: DataPlane) -> None:
        """Start the daemon with addresses for so many peers."""
        lines = [f"address add {wanted.peer_address(n)}/32 dev lo" for n in range(count)]
        lines += [f"address add {wanted.remote_host(n)}/32 dev lo" for n in range(count)]
        self._box.ip(*lines)
        self.swan.apply(PEERS, StartCharon(CharonOptions(plane)))

    def load(self, connections: Sequence[SiteConnection]) -> None:
        """Load the other ends of these connections."""
        for connection in connections:
            config = ike_config(wanted.mirrored(connection), wanted.KEY)
            self.swan.apply(PEERS, LoadSecret(config.connection))
            self.swan.apply(PEERS, LoadConfig(config))

    def sas(self) -> set[int]:
        """Return the unique ids of all IKE SAs that are up."""
        seen = self.swan.observe(PEERS).ike_sas
        return {sa.unique_id for sa in seen if sa.state == "ESTABLISHED"}

    def stop(self) -> None:
        """End the daemon: it is in the box's network but not among its processes."""
        for process in self._started:
            process.kill()

    def _spawn(self, _: RouterId, argv: Sequence[str], env: Mapping[str, str], output: str) -> int:
        pid = self._box.init().pid
        with open(output, "ab") as file:
            process = subprocess.Popen(
                ("nsenter", f"--net=/proc/{pid}/ns/net", "--", *argv),
                env=dict(env),
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self._started.append(process)
        threading.Thread(target=process.wait, daemon=True).start()
        return process.pid

    def _inode(self, _: RouterId) -> int:
        return os.stat(f"/proc/{self._box.init().pid}/ns/net").st_ino


class Stage:
    """What a measurement works with."""

    def __init__(self, lab: Lab, *, count: int, plane: DataPlane) -> None:
        self.lab = lab
        self.node, peers = Box(lab, _NODE), Box(lab, _PEERS)
        self.peers = Peers(peers, lab.state / "peers")
        cloud = lab.clouds[0]
        self.node.start()
        peers.start()
        self.node.ip(f"address add {cloud.api_address}/24 dev lo")
        wires.connect(self.node, "wire", peers, "wire")
        wires.add_bridge(self.node, "br-pub")
        wires.add_bridge(self.node, "br-tr")
        self.node.ip("link set wire master br-pub")
        peers.ip(f"address add {wanted.GATEWAY}/16 dev wire")
        self._make_workload()
        self._start_vswitch()
        bus.start(lab, cloud)
        self.peers.start(count, plane)
        bus.wait(lab, cloud)
        enter(self.node)
        with (self.node.directory / _AGENT_CONF).open("a") as file:
            file.write(f"[swanherd]\ndata_plane = {plane}\n")
        self.server = StandIn(self._conf(), _NODE)

    # The agent

    def start_agent(self, profile: str | None = None, source: Path | None = None) -> None:
        """Start the agent's process; with a profiler if there is a file for its figures.

        `source`: a folder with another version's package `swanherd`, which it runs then.
        """
        files = ("neutron.conf", _AGENT_CONF)
        options = [f"--config-file={self.node.directory / name}" for name in files]
        argv = (f"{VENV}/bin/{neutron.AGENT}", *options)
        env = {}
        if profile:
            argv = (f"{VENV}/bin/python", "-m", "bench.scale.profiled", *options)
            env = {"PROFILE": profile}
        if source:
            env["PYTHONPATH"] = str(source)  # found before what is installed
        services.start(self.node, Service(neutron.AGENT, argv, env, alone=True))

    def restart_agent(self) -> None:
        """Stop it as a service manager does, and start it again."""
        services.restart(self.node, neutron.AGENT)

    def upgrade_agent(self) -> None:
        """Stop an agent of another version, and start this one."""
        self.stop_agent()
        self.start_agent()

    def stop_agent(self) -> None:
        """Stop the agent; the daemons go on."""
        services.stop(self.node, neutron.AGENT)

    @property
    def agent(self) -> int:
        """The agent's process id, as this process sees it."""
        return services.find(self.node, neutron.AGENT).main.pid

    @property
    def socket(self) -> Path:
        """The agent's control socket."""
        return Path(f"/proc/{self.node.init().pid}/root/var/lib/swanherd/agent.sock")

    # Wires

    def plug(self, router: RouterId) -> None:
        """Join the router's outer ends to the public wire as soon as they are there."""
        stem = router.replace("-", "")[:11]
        wait_for(
            lambda: {n[:2] for n in self._devices() if n[2:].startswith(stem)} == {"vt", "vp"},
            60,
            "the agent made the links",
            every=0.05,
        )
        for name in self._devices():
            if name[2:].startswith(stem):
                bridge = "br-pub" if name.startswith("vp") else "br-tr"
                if bridge == "br-pub" or router == wanted.router_id(0):
                    self.node.ip(f"link set {name} master {bridge}")

    def workload(self) -> str:
        """Return the path of the namespace from which the first router's VPN is used."""
        return f"/proc/{self.node.init().pid}/root/run/netns/work"

    def _devices(self) -> list[str]:
        out = self.node.run(["ls", "/sys/class/net"]).stdout
        return out.split()

    def _make_workload(self) -> None:
        self.node.run(["ip", "netns", "add", "work"])
        self.node.ip(
            "link add work type veth peer name eth0 netns work",
            "link set work up master br-tr",
        )
        self.node.run(["ethtool", "-K", "eth0", "tx", "off"], "work")
        self.node.ip(
            "link set lo up",
            "link set eth0 up",
            "address add 169.254.0.1/30 dev eth0",
            f"address add {wanted.WORKLOAD}/32 dev lo",
            f"route add 10.128.0.0/9 via 169.254.0.2 src {wanted.WORKLOAD}",
            netns="work",
        )

    def _start_vswitch(self) -> None:
        schema = "/usr/share/openvswitch/vswitch.ovsschema"
        self.node.run(["ovsdb-tool", "create", "/etc/openvswitch/conf.db", schema])
        argv = ("ovsdb-server", "/etc/openvswitch/conf.db", f"--remote=p{OVSDB}")
        services.start(self.node, Service("ovsdb-server", argv))
        path = Path(f"/proc/{self.node.init().pid}/root/run/openvswitch/db.sock")
        wait_for(path.exists, 15, "ovsdb-server listens")
        self.node.run(["ovs-vsctl", "--no-wait", "init"])
        self.node.run(["ovs-vsctl", "--no-wait", "add-br", "br-int"])
        self._start_southbound()

    def _start_southbound(self) -> None:
        """Start the database in which the agent reads that the routers' ports are here."""
        path, remote = "/var/lib/ovn/ovnsb.db", "unix:/run/ovn/ovnsb_db.sock"
        self.node.run(["ovsdb-tool", "create", path, "/usr/share/ovn/ovn-sb.ovsschema"])
        remotes = (f"--remote=p{remote}", f"--remote=ptcp:6642:{self.lab.clouds[0].api_address}")
        argv = ("ovsdb-server", path, *remotes, "--unixctl=/run/ovn/ovnsb_db.ctl")
        services.start(self.node, Service("ovsdb-sb", argv))
        socket = Path(f"/proc/{self.node.init().pid}/root/run/ovn/ovnsb_db.sock")
        wait_for(socket.exists, 15, "the southbound database listens")
        settings = {"system-id": _NODE, "hostname": _NODE, "ovn-remote": remote}
        values = (f'external_ids:{k}="{v}"' for k, v in settings.items())
        self.node.run(["ovs-vsctl", "--no-wait", "set", "Open_vSwitch", ".", *values])
        self.node.run(["ovn-sbctl", "init"])
        self.node.run(["ovn-sbctl", "chassis-add", _NODE, "geneve", "127.0.0.1"])

    def place(self, routers: Sequence[RouterId]) -> None:
        """Let the routers' public ports be here, as OVN would say."""
        found = ["ovn-sbctl", "--bare", "--columns=_uuid", "find", "Chassis", f"name={_NODE}"]
        chassis = self.node.run(found).stdout.strip()
        argv = ["ovn-sbctl", "--id=@d", "create", "Datapath_Binding", "tunnel_key=1"]
        for number, router in enumerate(routers, 1):
            argv += ["--", "create", "Port_Binding", "datapath=@d", f"tunnel_key={number}"]
            argv += [f'logical_port="{public_port_id(router)}"', "up=true"]
            argv += [f"chassis={chassis}", f"requested_chassis={chassis}"]
        self.node.run(argv)

    def _conf(self) -> Any:
        conf = cfg.CONF
        options.register(conf)
        file = str(self.node.directory / _AGENT_CONF)
        conf(["--config-file", file], project="swanherd", default_config_dirs=[])
        return conf


@contextmanager
def staged(name: str, *, count: int, plane: DataPlane) -> Iterator[Stage]:
    """Give a stage for so many connections; everything of it is gone afterwards.

    `plane`: who encrypts, on both sides.
    """
    lab = Lab(name)
    with lifecycle.locked(lab):
        lifecycle.clean(lab)
        lifecycle.prepare(lab)
        try:
            stage = Stage(lab, count=count, plane=plane)
            try:
                yield stage
            finally:
                stage.peers.stop()
        finally:
            lifecycle.clean(lab)
