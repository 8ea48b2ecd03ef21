"""Sites of libreswan on the internet, alone or behind a NAT box, as Debian packages it.

Its package can't be installed beside charon-systemd, so it is unpacked (lab.install). Its only
data plane is the kernel's.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from lab.install import LIBRESWAN
from swanherd_client.peers.words import File
from tests.kernel.wires import SYSCTLS, batch, run

PROGRAMS = LIBRESWAN / "usr" / "libexec" / "ipsec"
CLOUD = "203.0.113.2"
NETWORK = "10.1.0.0/24"
INSIDE = "192.168.7"

_CONF = """config setup
    ikev1-policy=accept
conn cloud
    left={address}
    leftid={identity}
    leftsubnet={network}
    leftupdown=/bin/true
    right={cloud}
    rightsubnet={there}
    authby=secret
    ikev2={ikev2}
    aggressive={aggressive}
    ike=aes256-sha2_256;dh14
    esp=aes256-sha2_256;dh14
    auto=ignore
"""


@dataclasses.dataclass(frozen=True)
class Site:
    """A host with libreswan and a network of its own, of which it has the first address."""

    name: str
    directory: Path
    address: str
    identity: str
    number: int  # its network is 10.number.0.0/24

    @property
    def network(self) -> str:
        return f"10.{self.number}.0.0/24"

    @property
    def inner(self) -> str:
        return f"10.{self.number}.0.1"

    def initiate(self) -> str:
        """Let it begin, and return what it says of it."""
        return self._whack("--name", "cloud", "--initiate")

    def log(self) -> str:
        """Return the end of what it has written."""
        return (self.directory / "pluto.log").read_text()[-3000:]

    def _whack(self, *arguments: str) -> str:
        argv = [PROGRAMS / "whack", "--ctlsocket", self.directory / "pluto.ctl", *arguments]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout + done.stderr


@contextlib.contextmanager
def running(
    site: Site,
    psk: str,
    version: int,
    *,
    aggressive: bool = False,
    cloud: str = CLOUD,
    there: str = NETWORK,
) -> Iterator[None]:
    """Have pluto run with its one connection loaded, to a router and its network; not begun."""
    directory = site.directory
    directory.mkdir(parents=True)
    conf = directory / "ipsec.conf"
    conf.write_text(
        _CONF.format(
            address=site.address,
            identity=site.identity,
            network=site.network,
            cloud=cloud,
            there=there,
            ikev2="insist" if version == 2 else "no",
            aggressive="yes" if aggressive else "no",
        )
    )
    secrets = directory / "ipsec.secrets"
    secrets.write_text(f'{site.identity} {cloud} : PSK "{psk}"\n')
    with _pluto(site, conf, secrets):
        _load(directory, conf)
        yield


@contextlib.contextmanager
def booted(site: Site, files: Sequence[File]) -> Iterator[None]:
    """Have pluto run on exported files as they are, where /etc/ipsec.conf includes such."""
    folder = site.directory / "ipsec.d"
    folder.mkdir(parents=True)
    for file in files:
        (folder / file.name).write_text(file.text)
    conf, secrets = site.directory / "ipsec.conf", site.directory / "ipsec.secrets"
    conf.write_text(f"config setup\n    ikev1-policy=accept\ninclude {folder}/*.conf\n")
    secrets.write_text(f"include {folder}/*.secrets\n")
    with _pluto(site, conf, secrets):
        yield


@contextlib.contextmanager
def _pluto(site: Site, conf: Path, secrets: Path) -> Iterator[None]:
    directory = site.directory
    run("certutil", "-N", "-d", f"sql:{directory}", "--empty-password")
    # pluto wants addconn where the package has it; mounts are its own here (ip-netns(8)).
    mounted = f'mount --bind {PROGRAMS.parent} /usr/libexec && exec "$@"'
    argv = ["ip", "netns", "exec", site.name, "sh", "-c", mounted, "sh"]
    argv += [PROGRAMS / "pluto", "--nofork", "--stderrlog"]
    argv += ["--config", conf, "--rundir", directory, "--ipsecdir", directory]
    argv += ["--nssdir", directory, "--secretsfile", secrets, "--no-dnssec"]
    with (directory / "pluto.log").open("wb") as log:
        process = subprocess.Popen(
            argv,
            stdout=log,
            stderr=log,
            env={
                "PATH": f"{LIBRESWAN}/usr/sbin:{os.environ['PATH']}",
                "LD_LIBRARY_PATH": str(_libraries()),
            },
        )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _libraries() -> Path:
    return LIBRESWAN / "usr" / "lib" / "x86_64-linux-gnu"


def _load(directory: Path, conf: Path) -> None:
    socket = directory / "pluto.ctl"
    argv = [PROGRAMS / "addconn", "--config", conf, "--ctlsocket", socket, "cloud"]
    env = {**os.environ, "LD_LIBRARY_PATH": str(_libraries())}
    deadline = time.monotonic() + 30
    while True:
        done = subprocess.run(argv, capture_output=True, text=True, env=env, check=False)
        log = (directory / "pluto.log").read_text()
        if '"cloud": added' in log:
            break
        assert time.monotonic() < deadline, (done.stdout, done.stderr, log)
        time.sleep(0.2)
    # It has looked for its addresses before it had the connection.
    listen = [PROGRAMS / "whack", "--ctlsocket", socket, "--listen"]
    subprocess.run(listen, capture_output=True, env=env, check=False)


def add_host(name: str, bridge: str | None, address: str, gateway: str, inner: str = "") -> None:
    """Add a namespace on a bridge, with an address of its own network on lo."""
    run("ip", "netns", "add", name)
    run("ip", "netns", "exec", name, "sysctl", "-qw", *SYSCTLS)
    batch(
        None,
        f"link add v-{name} type veth peer name eth0 netns {name}",
        f"link set v-{name} master {bridge} up",
    )
    batch(
        name,
        "link set lo up",
        "link set eth0 up",
        f"address add {address}/24 dev eth0",
        f"route add default via {gateway}",
        *([f"address add {inner}/32 dev lo"] if inner else []),
    )


def add_nat(name: str, address: str, inside: str) -> None:
    """Add a NAT box with random ports before a bridge of its own."""
    add_host(name, "br-pe", address, "198.51.100.1")
    batch(
        None,
        f"link add {inside} type bridge forward_delay 0",
        f"link set {inside} up",
        f"link add w-{name} type veth peer name lan netns {name}",
        f"link set w-{name} master {inside} up",
    )
    batch(name, "link set lan up", f"address add {INSIDE}.1/24 dev lan")
    rule = ["-A", "POSTROUTING", "-o", "eth0", "-j", "MASQUERADE", "--random"]
    run("ip", "netns", "exec", name, "iptables-legacy", "-t", "nat", *rule)
