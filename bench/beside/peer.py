"""Who both have their tunnels to: a strongSwan of the internet, by hand, with many sites."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

from lab import daemon, services, wires
from lab.boxes import Box
from lab.layout import INTERNET_BOX, Lab
from lab.peers import CONF
from lab.services import Service

_MOST = 1200  # sites

_CONNECTION = """\
  {name} {{
    version = 2
    local_addrs = {address}
    remote_addrs = {gateway}
    proposals = aes256-sha256-ecp256,aes128-sha256-ecp256
    local {{
      auth = psk
      id = {identity}
    }}
    remote {{
      auth = psk
      id = %any
    }}
    children {{
      net {{
        local_ts = {networks}
        remote_ts = {there}
        esp_proposals = aes256-sha256-ecp256,aes128-sha256-ecp256
      }}
    }}
  }}
"""
_SECRET = """\
  ike-{name} {{
    id-mine = {identity}
    id-any = %any
    secret = "{psk}"
  }}
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Far:
    """One site of the peer: an address and an identity of its own, and networks behind it."""

    name: str
    address: str
    identity: str
    psk: str
    networks: tuple[str, ...]
    gateway: str = ""  # another one than the peer's other sites have
    there: str = ""  # and the network behind it

    @property
    def host(self) -> str:
        """Its address in its first network."""
        return _first(self.networks[0])


@dataclasses.dataclass(slots=True)
class Peer:
    """A host with many addresses and one charon; `number` tells two of them apart."""

    lab: Lab
    number: int
    gateway: str  # whom it has its tunnels to, and
    there: str  # the network behind
    sites: dict[str, Far] = dataclasses.field(default_factory=dict)
    _addresses: set[str] = dataclasses.field(default_factory=set)

    @property
    def name(self) -> str:
        """Its namespace in the internet's box."""
        return f"far{self.number}"

    @property
    def box(self) -> Box:
        """The box that it is in."""
        return Box(self.lab, INTERNET_BOX)

    @property
    def sockets(self) -> pathlib.Path:
        """Where this machine sees its charon's socket."""
        return pathlib.Path(f"/proc/{self.box.init().pid}/root/run")

    def start(self) -> None:
        """Start its charon, without connections, but with all addresses of its sites.

        Of many that come while it runs it would miss some: its netlink socket overflows, and it
        installs nothing for networks of which it has no address.
        """
        wires.add_host(self.lab, self.name, [f"100.64.{8 * self.number}.9/21"])
        self._own(map(self._far, range(_MOST)))
        directory = self.lab.directory("peers", self.name)
        text = CONF.format(socket=f"/run/{self.name}.vici").replace("updown", "updown counters")
        (directory / "strongswan.conf").write_text(text)
        argv = ("nsenter", f"--net=/run/netns/{self.name}", "/usr/sbin/charon-systemd")
        env = {"STRONGSWAN_CONF": str(directory / "strongswan.conf")}
        services.start(self.box, Service(f"charon-{self.name}", argv, env))
        answers = lambda: (self.sockets / f"{self.name}.vici").exists()  # noqa: E731
        services.wait(self.box, f"charon-{self.name}", answers, 15, "no socket")

    def site(self, number: int, gateway: str = "", there: str = "") -> Far:
        """Add a site with addresses of its own, not loaded yet, maybe for another gateway."""
        made = dataclasses.replace(self._far(number), gateway=gateway, there=there)
        self.sites[made.name] = made
        return made

    def _far(self, number: int) -> Far:
        block, rest = divmod(number, 200)
        address = f"100.64.{8 * self.number + block}.{10 + rest}"
        network = f"10.{80 + 40 * self.number + block}.{rest}.0/24"
        return Far(f"s{number}", address, address, f"key of {number}", (network,))

    def _own(self, sites: Iterable[Far]) -> None:
        """Have the addresses of these sites; userspace ESP takes a network only with one of it."""
        wanted = [
            each
            for site in sites
            for each in (
                f"{site.address}/21 dev eth0",
                *(f"{_first(network)}/24 dev lo" for network in site.networks),
            )
            if each not in self._addresses
        ]
        self.box.ip(*(f"address replace {each}" for each in wanted), netns=self.name)
        self._addresses.update(wanted)

    def put(self, *sites: Far) -> None:
        """Have these sites as they are given, and load all."""
        self.sites |= {site.name: site for site in sites}
        self.load()

    def drop(self, site: Far) -> None:
        """Know no more of a site, and end what is up with it."""
        del self.sites[site.name]
        self.load()
        with daemon.session(self.sockets, f"{self.name}.vici") as asked:
            list(asked.terminate({"ike": site.name, "force": "yes", "timeout": "1000"}))

    def load(self) -> None:
        """Let charon have the sites and their addresses; live SAs stay as they are."""
        self._own(self.sites.values())
        parts = ["connections {\n"]
        parts += [_CONNECTION.format(**self._fields(s)) for s in self.sites.values()]
        parts += ["}\nsecrets {\n"]
        parts += [_SECRET.format(name=s.name, identity=s.identity, psk=s.psk)
                  for s in self.sites.values()]  # fmt: skip
        file = self.lab.directory("peers", self.name) / "swanctl.conf"
        file.write_text("".join([*parts, "}\n"]))
        uri = f"unix:///run/{self.name}.vici"
        self.box.run(["swanctl", "--load-all", "--clear", "--uri", uri, "--file", str(file)])

    def initiate(self, sites: Sequence[Far]) -> None:
        """Ask charon to bring these up, and don't wait for it."""
        with daemon.session(self.sockets, f"{self.name}.vici") as asked:
            for site in sites:
                list(asked.initiate({"child": "net", "ike": site.name, "timeout": "-1"}))

    def probes(self, site: Far) -> int:
        """Return how many INFORMATIONAL requests it has had from a site's gateway."""
        with daemon.session(self.sockets, f"{self.name}.vici") as asked:
            found: dict[str, Any] = asked.get_counters({"name": site.name})["counters"]
        return int(found.get(site.name, {}).get("info-in-req", 0))

    def _fields(self, site: Far) -> dict[str, str]:
        return {
            "gateway": site.gateway or self.gateway,
            "there": site.there or self.there,
            "name": site.name,
            "address": site.address,
            "identity": site.identity,
            "networks": ",".join(site.networks),
        }


def _first(network: str) -> str:
    return f"{network.removesuffix('.0/24')}.1"
