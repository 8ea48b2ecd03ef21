"""The demo: two clouds' users join their networks, and what is on the wire is looked at.

`make demo` runs it; KEEP=1 leaves the clouds up, DASHBOARD=1 the tunnels too, with Horizon to look
at them. It prints what it does, a table of what was
seen, and writes build/demo.json; the exit status is 1 if anything that had to hold didn't.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import json
import os
import shlex
import sys
import time
from collections.abc import Callable
from typing import Any

from lab import horizon
from lab import up as lifecycle
from lab.boxes import Box, end, environment
from lab.capture import Capture
from lab.cloud import Cloud
from lab.layout import ROOT, USER_BOX, VENV, WEB_ADDRESSES, Lab, LabError, Shape
from lab.processes import wait_for
from lab.sites import Site, Workload, boot, make_public, make_site
from lab.user import enter
from lab.vpn import leftovers

CIDRS = {
    "a": ("10.1.0.0/24", "fd00:1::/64"),
    "b": ("10.2.0.0/24", "fd00:2::/64"),
}
OUTSIDE = {"a": "10.1.99.0/24", "b": "10.2.99.0/24"}  # on the same router, not in the VPN
INNER = "net 10.1.0.0/16 or net 10.2.0.0/16 or net fd00:1::/32 or net fd00:2::/32"
CARRIED = "udp port 500 or udp port 4500 or esp"
KEY = "correct-horse-battery-staple"
WEB = WEB_ADDRESSES[0].split("/")[0]


@dataclasses.dataclass(slots=True)
class Demo:
    """A run: what was checked and how long things took (seconds)."""

    lab: Lab
    start: float = dataclasses.field(default_factory=time.monotonic)
    checks: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    timings: dict[str, float] = dataclasses.field(default_factory=dict)

    def say(self, text: str) -> None:
        """Print a line with the time since the start."""
        print(f"[{time.monotonic() - self.start:6.1f} s] {text}", flush=True)

    def check(self, name: str, look: Callable[[], str]) -> bool:
        """Look at something that must hold; what is returned, or the error, is the detail."""
        try:
            ok, detail = True, look()
        except LabError as error:
            ok, detail = False, str(error)
        self.checks.append({"name": name, "ok": ok, "detail": detail})
        self.say(f"{'ok  ' if ok else 'FAIL'} {name}: {detail}")
        return ok

    def lap(self, name: str, since: float | None = None) -> None:
        """Record the seconds since the start, or since another moment."""
        begin = self.start if since is None else since
        self.timings[name] = round(time.monotonic() - begin, 2)


@dataclasses.dataclass(frozen=True, slots=True)
class Side:
    """What one user has before the VPN."""

    cloud: Cloud
    client: Any
    site: Site
    app: Workload
    outside: Workload

    @property
    def name(self) -> str:
        """The cloud's name."""
        return self.cloud.name


def main() -> int:
    """Run the demo; return the exit status."""
    dashboard = os.environ.get("DASHBOARD", "") not in ("", "0")
    keep = dashboard or os.environ.get("KEEP", "") not in ("", "0")
    demo, address = Demo(Lab.named()), ""
    backend = os.environ.get("BACKEND") or "ovn"
    lab = dataclasses.replace(demo.lab, shape=Shape(backend_a=backend, backend_b=backend))
    demo.lab = lab
    try:
        names = {"ovs": "Open vSwitch"}
        what = names.get(backend, "OVN")
        demo.say(f"Two clouds come up: Keystone, Neutron, {what}, two chassis each.")
        lifecycle.up(lab)
        demo.lap("lab_up")
        if dashboard:
            # Before this process enters a box: the way in is of the machine's own loopback.
            horizon.start(lab)
            address = horizon.publish(lab)
        enter(lab)
        run(demo, leave=dashboard)
    except LabError as error:
        demo.checks.append({"name": "the demo runs", "ok": False, "detail": str(error)})
        demo.say(f"FAIL {error}")
    except BaseException:
        # A bug or Ctrl-C: what was brought up goes all the same.
        if not keep:
            lifecycle.down(lab)
        raise
    demo.lap("total")
    ok = summarise(demo)
    if keep:
        invite(lab)
        if dashboard and ok:
            print(horizon.invite(address), "\n")
    else:
        demo.say("The clouds go down (KEEP=1 leaves them up).")
        lifecycle.down(lab)
    return 0 if ok else 1


def run(demo: Demo, *, leave: bool = False) -> None:
    """Make everything through the public API, look, delete (unless it is left), look again."""
    demo.say("Each cloud's user makes networks, a router and two workloads.")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        # The pool's threads are in the user box's network, like this one.
        sides = list(pool.map(lambda name: prepare(demo.lab, name), ("a", "b")))
    demo.lap("sites_ready")
    one, other = sides
    with Capture.on_wire(demo.lab, one.cloud.plan) as wire:
        posted = make_tunnels(demo, one, other)
        first_ping(demo, one, other, posted)
        look_at_tunnels(demo, one, other)
        look_at_the_internet(demo, one, other)
        look_at_the_wire(demo, wire, one, other)
    # After the capture: what these send goes to the internet, as it would without a VPN.
    look_at_the_outside(demo, one, other)
    if not leave:
        delete(demo, one, other)


def prepare(lab: Lab, name: str) -> Side:
    """Make what a user has before the VPN."""
    cloud = Cloud(lab, name)
    make_public(cloud)
    client = cloud.connect()
    site = make_site(cloud, client, f"site-{name}", (*CIDRS[name], OUTSIDE[name]))
    app = boot(cloud, client, site, "app", subnets=CIDRS[name])
    outside = boot(cloud, client, site, "outside", subnets=[OUTSIDE[name]])
    return Side(cloud, client, site, app, outside)


def openstack(demo: Demo, side: Side, command: str, *columns: str) -> str:
    """Type a command at the side's client and print it; return its output."""
    demo.say(f"{side.name}$ openstack {command}")
    argv = [f"{VENV}/bin/openstack", *shlex.split(command)]
    if columns:
        argv += ["-f", "value", *(part for c in columns for part in ("-c", c))]
    settings = {"OS_CLIENT_CONFIG_FILE": str(demo.lab.clouds_yaml), "OS_CLOUD": side.name}
    box = Box(demo.lab, USER_BOX)
    return box.run(argv, env=environment(settings), timeout=120).stdout.strip()


def make_tunnels(demo: Demo, one: Side, other: Side) -> float:
    """Make policies, services, groups and connections; return when the last was asked for."""

    def half(side: Side, peer: Side) -> str:
        algorithms = "--auth-algorithm sha256 --encryption-algorithm aes-256 --pfs group19"
        openstack(demo, side, f"vpn ike policy create --ike-version v2 {algorithms} ike", "name")
        openstack(demo, side, f"vpn ipsec policy create {algorithms} esp", "name")
        for cidr, far, family in zip(CIDRS[side.name], CIDRS[peer.name], ("4", "6"), strict=True):
            subnet = side.site.subnets[cidr]
            groups = "vpn endpoint group create --type"
            openstack(demo, side, f"{groups} subnet --value {subnet} local{family}", "name")
            openstack(demo, side, f"{groups} cidr --value {far} peer{family}", "name")
        service = f"vpn service create --router {side.site.name} vpn"
        openstack(demo, side, service, "name")
        return openstack(demo, side, "vpn service show vpn", "Ext v4 IP")

    with concurrent.futures.ThreadPoolExecutor() as pool:
        address, far_address = pool.map(half, (one, other), (other, one))
    posted = time.monotonic()
    for side, peer in ((one, far_address), (other, address)):
        for family in ("4", "6"):
            posted = time.monotonic()
            openstack(
                demo,
                side,
                f"vpn ipsec site connection create --vpnservice vpn --ikepolicy ike "
                f"--ipsecpolicy esp --local-endpoint-group local{family} "
                f"--peer-endpoint-group peer{family} --peer-address {peer} --peer-id {peer} "
                f"--psk {KEY} tunnel{family}",
                "status",
            )
    return posted


def first_ping(demo: Demo, one: Side, other: Side, posted: float) -> None:
    """Wait for the first ping through both tunnels, and note the times."""

    def look() -> str:
        one.app.wait_for_ping(other.app.ipv4, 30)
        one.app.wait_for_ping(other.app.ipv6, 30)
        return f"{time.monotonic() - posted:.2f} s after the last command was typed"

    demo.check("first ping", look)
    demo.lap("first_ping")
    demo.lap("typed_to_first_ping", posted)


def look_at_tunnels(demo: Demo, one: Side, other: Side) -> None:
    """Status in both clouds; pings and TCP both ways and in both families."""
    for side in (one, other):
        demo.check(f"status in cloud {side.name}", functools.partial(all_active, side))
    for side, peer in ((one, other), (other, one)):
        for address in (peer.app.ipv4, peer.app.ipv6):
            way = f"{side.name} → {peer.name}, {address}"
            demo.check(f"ping {way}", functools.partial(pings, side.app, address))
    for side, peer in ((one, other), (other, one)):
        server = peer.app.box.popen(["python", "-m", "lab.whoami", "8080"], netns=peer.app.name)
        try:
            for address in (peer.app.ipv4, peer.app.ipv6):
                way = f"{side.name} → {peer.name}, {address}"
                demo.check(
                    f"1 MB of TCP {way}", functools.partial(fetches, side.app, address, 8080)
                )
        finally:
            end(server)


def all_active(side: Side) -> str:
    """Return what the API shows once service and connections are ACTIVE."""

    def look() -> str:
        network = side.client.network
        rows = [*network.vpn_services(), *network.vpn_ipsec_site_connections()]
        seen = {row.name: row.status for row in rows}
        return str(seen) if set(seen.values()) == {"ACTIVE"} else ""

    return wait_for(look, 15, f"service and connections ACTIVE in cloud {side.name}")


def pings(workload: Workload, address: str) -> str:
    """Return what ping says; LabError if any of five is lost."""
    said = workload.run(["ping", "-n", "-c", "5", "-i", "0.2", "-W", "2", address])
    summary = next(line for line in said.splitlines() if "packets transmitted" in line)
    if " 0% packet loss" not in summary:
        raise LabError(summary)
    return summary


def fetches(workload: Workload, address: str, port: int) -> str:
    """Fetch a megabyte by HTTP and return how fast it was."""
    host = f"[{address}]" if ":" in address else address
    said = workload.run(
        [
            *("curl", "-sS", "--retry", "20", "--retry-connrefused", "--retry-delay", "1"),
            *("--max-time", "40", "-o", "/dev/null"),
            *("-w", "%{size_download} bytes, %{speed_download} bytes/s"),
            f"http://{host}:{port}/1000000",
        ]
    )
    if not said.startswith("1000000 "):
        raise LabError(f"only {said}")
    return said


def look_at_the_internet(demo: Demo, one: Side, other: Side) -> None:
    """What isn't for the tunnel goes its own way."""
    for side in (one, other):
        demo.check(
            f"internet from cloud {side.name} by the router's own address",
            functools.partial(own_address, side),
        )


def look_at_the_outside(demo: Demo, one: Side, other: Side) -> None:
    """A subnet that isn't in the VPN has no way to the peer's network."""
    for side, peer in ((one, other), (other, one)):
        demo.check(
            f"a subnet that isn't in the VPN can't reach cloud {peer.name}",
            functools.partial(unreachable, side.outside, peer.app.ipv4),
        )


def own_address(side: Side) -> str:
    """Return the address that a host of the internet sees; it must be the router's own."""
    seen = side.app.run(["curl", "-sS", "--max-time", "10", f"http://{WEB}/"]).strip()
    if seen not in side.site.router_addresses:
        raise LabError(f"seen from {seen}, the router has {side.site.router_addresses}")
    return f"{WEB} saw {seen}"


def unreachable(workload: Workload, address: str) -> str:
    """Return that pings stay unanswered."""
    if workload.pings(address, count=3, wait=1):
        raise LabError(f"{address} answered")
    return f"{address} doesn't answer"


def look_at_the_wire(demo: Demo, wire: Capture, one: Side, other: Side) -> None:
    """Between the clouds there is IKE and ESP only, and not one inner packet in clear."""

    def encrypted() -> str:
        count = wire.count("udp port 4500 or esp")
        if count < 100:
            raise LabError(f"only {count} packets")
        return f"{count} packets of ESP and IKE"

    def clear() -> str:
        if lines := wire.lines(INNER):
            raise LabError(f"{len(lines)} inner packets in clear, the first: {lines[0]}")
        return "no packet with an inner address"

    def others() -> str:
        ends = [s.cloud.connect().network for s in (one, other)]
        here, there = (next(iter(n.vpn_services())).external_v4_ip for n in ends)
        if lines := wire.lines(f"host {here} and host {there} and not ({CARRIED})"):
            raise LabError(f"{len(lines)} other packets, the first: {lines[0]}")
        return f"between {here} and {there} nothing else"

    demo.check("the wire carries the tunnels", encrypted)
    demo.check("the wire shows no inner packet", clear)
    demo.check("the gateways exchange only IKE and ESP", others)


def delete(demo: Demo, one: Side, other: Side) -> None:
    """Delete everything of the VPN by the API and look for what is left."""

    def half(side: Side) -> None:
        openstack(demo, side, "vpn ipsec site connection delete tunnel4 tunnel6")
        openstack(demo, side, "vpn service delete vpn")
        openstack(demo, side, "vpn endpoint group delete local4 local6 peer4 peer6")
        openstack(demo, side, "vpn ike policy delete ike")
        openstack(demo, side, "vpn ipsec policy delete esp")

    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(half, (one, other)))
    for side in (one, other):
        demo.check(
            f"nothing is left in cloud {side.name}", functools.partial(nothing_left, side.cloud)
        )
    demo.lap("deleted", began)


def nothing_left(cloud: Cloud) -> str:
    """Return that nothing is left, within a time; LabError tells what is."""
    left: list[str] = []

    def look() -> bool:
        left[:] = leftovers(cloud)
        return not left

    try:
        wait_for(look, 30, "", every=0.5)
    except LabError:
        raise LabError("; ".join(left)) from None
    rows = "OVN row" if cloud.plan.has_ovn else "firewall rule"
    return f"no namespace, process, port, {rows} or file"


def summarise(demo: Demo) -> bool:
    """Print the table and write build/demo.json; return whether all was as it must be."""
    ok = bool(demo.checks) and all(c["ok"] for c in demo.checks)
    width = max((len(c["name"]) for c in demo.checks), default=0)
    print()
    for c in demo.checks:
        print(f"  {'ok  ' if c['ok'] else 'FAIL'}  {c['name']:{width}}  {c['detail']}")
    print("\n  seconds:", ", ".join(f"{k} {v}" for k, v in demo.timings.items()))
    print(f"\n  {sum(c['ok'] for c in demo.checks)} of {len(demo.checks)} checks hold.\n")
    folder = ROOT / "build"
    folder.mkdir(exist_ok=True)
    document = {"ok": ok, "checks": demo.checks, "timings": demo.timings}
    (folder / "demo.json").write_text(json.dumps(document, indent=2) + "\n")
    return ok


def invite(lab: Lab) -> None:
    """Tell how to go on in the clouds that are left up."""
    print(
        "The clouds are up. Try them:\n"
        "  make enter BOX=user           a person with a client, then for instance\n"
        "      openstack --os-cloud a vpn service list      (clouds: a, b, admin-a, admin-b)\n"
        "  make enter BOX=a-gw           the gateway node of cloud a, then for instance\n"
        "      swanherdctl show\n"
        f"  logs in {lab.state}/logs\n"
        "  make down                     removes all\n"
    )


if __name__ == "__main__":
    sys.exit(main())
