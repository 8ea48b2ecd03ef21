"""Sites that aren't ours: strongSwan with a hand-made configuration, on the internet.

A peer is a host of the internet, or stands behind a NAT box that it shares with others. Its own
network is an address on its loopback device.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Sequence

from lab import services, wires
from lab.boxes import Box
from lab.layout import INTERNET_BOX, Lab, gateway_of, interface_of
from lab.services import Service

CONF = """\
charon-systemd {{
  load = random nonce aes sha1 sha2 hmac kdf gmp curve25519 openssl gcm pem pubkey \
kernel-libipsec kernel-netlink socket-default vici updown
  plugins {{
    kernel-libipsec {{
      allow_peer_ts = yes
    }}
    vici {{
      socket = unix://{socket}
    }}
  }}
  syslog {{
    daemon {{
      default = -1
    }}
    auth {{
      default = -1
    }}
  }}
  filelog {{
    stderr {{
      default = 1
      flush_line = yes
    }}
  }}
}}
"""
CONNECTION = """\
connections {{
  cloud {{
    version = {version}
    aggressive = {aggressive}
    remote_addrs = {cloud}
    proposals = aes256-sha256-ecp256
    local {{
      auth = psk
      id = {identity}
    }}
    remote {{
      auth = psk
      id = {cloud}
    }}
    children {{
      net {{
        local_ts = {here}
        remote_ts = {there}
        esp_proposals = aes256-sha256-ecp256
      }}
    }}
  }}
}}
secrets {{
  ike-cloud {{
    id-mine = {identity}
    id-cloud = {cloud}
    secret = "{psk}"
  }}
}}
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Peer:
    """A host with a private network of its own. `identity`: by what it is known to the cloud."""

    lab: Lab
    name: str  # its namespace in the internet's box
    network: str
    identity: str

    @property
    def box(self) -> Box:
        """The box that it is in."""
        return Box(self.lab, INTERNET_BOX)

    @property
    def address(self) -> str:
        """Its address in its own network."""
        return gateway_of(self.network)

    @property
    def uri(self) -> str:
        """Where its charon answers."""
        return f"unix:///run/{self.name}.vici"

    def run(self, argv: Sequence[str], check: bool = True) -> str:
        """Run a program on the host and return its output."""
        done = self.box.run(argv, self.name, check=check)
        return done.stdout + done.stderr

    def pings(self, address: str, count: int = 3) -> bool:
        """Whether an address answers pings from its own network."""
        ping = ["ping", "-n", "-q", "-i", "0.2", "-W", "1", "-c", str(count)]
        argv = [*ping, "-I", self.address, address]
        return not self.box.run(argv, self.name, check=False).returncode

    def start(self, cloud: str, there: str, psk: str, version: int = 2) -> None:
        """Start charon with one connection to a cloud's address and a network behind it."""
        self.boot(
            CONNECTION.format(
                version=version,
                # With a key and no known address an IKEv1 responder needs the id in the clear.
                aggressive="yes" if version == 1 and "@" in self.identity else "no",
                cloud=cloud,
                identity=self.identity,
                here=self.network,
                there=there,
                psk=psk,
            )
        )

    def boot(self, text: str) -> None:
        """Start charon with a swanctl.conf as it is."""
        directory = self.lab.directory("peers", self.name)
        conf = directory / "strongswan.conf"
        conf.write_text(CONF.format(socket=f"/run/{self.name}.vici"))
        (directory / "swanctl.conf").write_text(text)
        enter = ("nsenter", f"--net=/run/netns/{self.name}")
        env = {"STRONGSWAN_CONF": str(conf)}
        service = Service(f"charon-{self.name}", (*enter, "/usr/sbin/charon-systemd"), env)
        services.start(self.box, service)
        load = ["swanctl", "--load-all", "--uri", self.uri]
        load += ["--file", str(directory / "swanctl.conf")]
        ready = lambda: not self.box.run(load, check=False).returncode  # noqa: E731
        services.wait(self.box, service.name, ready, 15, "takes no configuration")

    def initiate(self) -> str:
        """Bring the tunnel up from this side and return what charon says of it."""
        argv = ["swanctl", "--initiate", "--child", "net", "--timeout", "20", "--uri", self.uri]
        return self.run(argv)

    def stop(self) -> None:
        """End its charon."""
        services.stop(self.box, f"charon-{self.name}")


def add_peer(lab: Lab, name: str, public: str, network: str) -> Peer:
    """Add a peer with a public address (with its prefix length), by which the cloud knows it."""
    wires.add_host(lab, name, [public])
    return _with_network(Peer(lab, name, network, public.split("/")[0]))


def add_nat(lab: Lab, name: str, public: str, inside: str) -> None:
    """Add a NAT box: its public address, and the network that it translates."""
    wires.add_host(lab, name, [public])
    inet = Box(lab, INTERNET_BOX)
    inet.ip(
        "link add lan type bridge forward_delay 0",
        "link set lan up",
        f"address add {interface_of(inside)} dev lan",
        netns=name,
    )
    inet.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"], name)
    hook = "{ type nat hook postrouting priority 100; }"
    rules = f"add table ip nat\nadd chain ip nat post {hook}\n"
    # Random ports: the peers can't be told apart by a port that they might have had.
    rules += "add rule ip nat post oifname eth0 masquerade random\n"
    inet.run(["nft", "-f", "-"], name, input=rules)


def add_peer_behind(lab: Lab, nat: str, inside: str, peer: Peer) -> Peer:
    """Add a peer behind a NAT box, at an address of the translated network."""
    inet = Box(lab, INTERNET_BOX)
    length = ipaddress.ip_interface(inside).network.prefixlen
    router = ipaddress.ip_interface(inside).network[1]
    address = ipaddress.ip_interface(inside).ip
    inet.run(["ip", "netns", "add", peer.name])
    port = f"l-{peer.name}"
    inet.ip(f"link add {port} type veth peer name eth0 netns {peer.name}", netns=nat)
    inet.ip(f"link set {port} up", f"link set {port} master lan", netns=nat)
    inet.ip(
        "link set lo up",
        "link set eth0 up",
        f"address add {address}/{length} dev eth0",
        f"route add default via {router}",
        netns=peer.name,
    )
    for device, netns in ((port, nat), ("eth0", peer.name)):
        inet.run(["ethtool", "-K", device, "tx", "off"], netns)
    return _with_network(peer)


def _with_network(peer: Peer) -> Peer:
    length = ipaddress.ip_network(peer.network).prefixlen
    peer.box.ip(f"address add {peer.address}/{length} dev lo", netns=peer.name)
    return peer
