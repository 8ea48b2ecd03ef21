"""Who exchanges neutron-vpnaas and Swanherd in a live cloud, and what it costs its tunnels."""

import contextlib
import dataclasses
import json
import signal
import time

from lab import neutron, predecessor
from lab.cloud import Cloud
from lab.layout import VENV
from lab.stream import Stream
from lab.vpn import join

# Seconds without an answer that nobody calls an outage: a ping's own, on a busy machine.
NOTHING = 1.5


@dataclasses.dataclass
class Operator:
    """Who exchanges a cloud's programs; `theirs` and `ours` are the cloud before and after."""

    theirs: Cloud
    ours: Cloud
    before: str  # the server's settings

    @classmethod
    @contextlib.contextmanager
    def at_work(cls, lab, cloud):
        """Let them work in a cloud that has neutron-vpnaas; its settings are restored."""
        shape = dataclasses.replace(lab.shape, predecessor_a=0, predecessor_b=0)
        ours = Cloud(dataclasses.replace(lab, shape=shape), cloud.plan.name)
        settings = neutron.configuration(lab, cloud.plan, cloud.central)
        operator = cls(cloud, ours, settings.read_text())
        yield operator
        settings.write_text(operator.before)

    @property
    def settings(self):
        return neutron.configuration(self.theirs.lab, self.theirs.plan, self.theirs.central)

    def adopt(self, words=""):
        """Put Swanherd's servers in the place of neutron-vpnaas', and its tables beside theirs."""
        self.stop_servers()
        plugin = predecessor.plugin(self.theirs.plan)
        text = self.before.replace(f"router,{plugin}", "router,swanherd")
        self.settings.write_text(text + words)
        manage = ("neutron-db-manage", "--config-file", str(self.settings))
        self.run(*manage, "--subproject", "swanherd", "upgrade", "heads")
        self.start_servers(self.ours)

    def release(self):
        """Give the tables back, and start neutron-vpnaas' servers."""
        self.stop_servers()
        release = ("swanherdctl", "db", "release", "--config-file", str(self.settings))
        self.run(*release, "--to", "29")
        self.settings.write_text(self.before)
        self.start_servers(self.theirs)

    def stop_servers(self):
        workers = neutron.OVN_WORKERS if self.ours.plan.has_ovn else ()
        for name in (*neutron.WORKERS, *workers, self.ours.plan.rpc_service):
            # The RPC server's own way out takes half a minute.
            self.ours.stop_service(name, signal.SIGKILL)
        self.ours.stop_service(neutron.API)

    def start_servers(self, cloud):
        for start in (neutron.start_api, neutron.start_rpc, neutron.start_workers):
            start(cloud.lab, cloud.plan)

    def run(self, *argv):
        """Run a program of ours on the server; return what it prints."""
        command = [f"{VENV}/bin/{argv[0]}", *argv[1:]]
        done = self.ours.central.run(command, timeout=400, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def migrate(self, *argv):
        """Run `swanherdctl migrate`; return what it tells, by router."""
        file = ("--config-file", str(self.settings))
        found = json.loads(self.run("swanherdctl", "--json", "migrate", *argv, *file))
        return {each["router_id"]: each for each in found}

    def agent_lives(self, binary):
        agents = self.ours.connect("admin").network.agents(binary=binary)
        return any(agent.is_alive for agent in agents)


def joined(make_pair):
    """Return two pairs; of each the second router, of neutron-vpnaas, has a tunnel that works."""
    pairs = [make_pair() for _ in range(2)]
    for pair in pairs:
        pair.connections = (join(*pair.ends, 4, 4),)
    for pair in pairs:
        pair.up(180)
        pair.there.wait_for_ping(pair.here.ipv4)
    return pairs


@contextlib.contextmanager
def noted(file):
    """Give a place for what each step cost, by router; written when all is done."""
    steps = {}
    yield steps
    file.write_text(json.dumps(steps, indent=2) + "\n")


@contextlib.contextmanager
def watched(told, step, pairs):
    """Ping through the tunnels meanwhile, and until each answers steadily again."""
    streams = [Stream.start(pair.there, pair.here.ipv4) for pair in pairs]
    try:
        yield
        ended = time.time()
        for stream in streams:
            stream.wait_for_answers(ended, 180)
    finally:
        told[step] = [round(stream.stop().outage, 2) for stream in streams]


def clear(pairs):
    """Return a filter of packets between the workloads that aren't encrypted."""
    return " or ".join(f"(host {p.here.ipv4} and host {p.there.ipv4})" for p in pairs)
