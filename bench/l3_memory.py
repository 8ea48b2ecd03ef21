"""`python -m bench.l3_memory`: what the extension costs an L3 agent, without and with routers.

On a lab that is up, whose cloud a has Neutron's L3 agents and one gateway (make up
UPFLAGS="--backend-a ovs").
Memory is the proportional set (PSS, proc(5)) of the agent's processes: the first one, the worker
that it forks, which loads the extension and shares memory with it, and what they have started for
their privileges. That of charon is its resident set.
"""

from __future__ import annotations

import contextlib
import pathlib
import sys
import time

from bench.__main__ import charons, median, rss
from lab import services
from lab.boxes import Box
from lab.cloud import Cloud
from lab.layout import Lab, LabError
from lab.ovs import L3_AGENT
from lab.processes import processes, wait_for
from lab.sites import make_public, make_site, remove_site
from lab.user import enter
from lab.vpn import connect, make_end, remove_end

ROUTERS = 5
STEADY = 4.0  # seconds without growth


def main() -> int:
    """Measure and print; 1 if a promise isn't kept."""
    lab = Lab.named()
    cloud = Cloud(lab, "a")
    if cloud.plan.has_ovn:
        print("bench: cloud a of the lab has OVN, not L3 agents", file=sys.stderr)
        return 1
    enter(lab)
    make_public(cloud)
    try:
        return measure(cloud)
    except LabError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1


def measure(cloud: Cloud) -> int:
    """Print the figures of the cloud's first gateway."""
    box = cloud.central
    without = restarted(box, extension="")
    bare = restarted(box, extension="swanherd")
    plain = grown(cloud, vpn=False)[0] - bare
    bare = restarted(box, extension="swanherd")
    with_vpn, daemon = grown(cloud, vpn=True)
    each = (with_vpn - bare - plain) / ROUTERS
    print(f"L3 agent without the extension      {without:6.1f} MB")
    print(f"its growth with the extension       {bare - without:6.1f} MB  (< 30)")
    print(f"its growth for a router's VPN       {each:6.1f} MB")
    print(f"charon of a router                  {daemon:6.1f} MB")
    print(f"a router with a VPN                 {each + daemon:6.1f} MB  (<= 12)")
    return int(bare - without >= 30 or each + daemon > 12)


def restarted(box: Box, extension: str) -> float:
    """Start the agent anew with or without the extension; return what it settles at, in MB."""
    file = box.directory / f"{L3_AGENT}.conf"
    lines = file.read_text().splitlines()
    other = [f"extensions = {extension}" if x.startswith("extensions") else x for x in lines]
    file.write_text("\n".join(other) + "\n")
    services.restart(box, L3_AGENT)
    return settled(box)


def settled(box: Box) -> float:
    """Return the memory once it hasn't grown for a while."""
    seen = [0.0, time.monotonic()]

    def steady() -> bool:
        now = memory(box)
        if now > seen[0] + 0.5:
            seen[:] = now, time.monotonic()
        return time.monotonic() - seen[1] > STEADY

    wait_for(steady, 120, "the agent's memory is steady", every=0.5)
    return memory(box)


def memory(box: Box) -> float:
    """Return the memory of the agent's processes, in MB: all have its name, or its file's."""
    main = services.find(box, L3_AGENT).main
    own = [p for p in processes() if p.session == main.pid]
    return sum(pss(p.pid) for p in own if any(L3_AGENT in part for part in p.argv))


def pss(pid: int) -> float:
    """Return a process' proportional set in MB; 0 if it has ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        line = next(line for line in rollup.splitlines() if line.startswith("Pss:"))
        return int(line.split()[1]) / 1024
    return 0.0


def grown(cloud: Cloud, *, vpn: bool) -> tuple[float, float]:
    """Return the memory with some routers, with a VPN each or without, and that of a charon."""
    client, box, ends, sites = cloud.connect(), cloud.central, [], []
    daemons = len(charons(box))
    for number in range(ROUTERS):
        cidr = f"10.{230 + number}.0.0/24"
        site = make_site(cloud, client, f"memory{number}", [cidr], kind="legacy")
        sites.append(site)
        if vpn:
            ends.append(make_end(cloud, client, site))
            connect(ends[-1], f"203.0.113.{240 + number}", [cidr], [f"10.{240 + number}.0.0/24"])
    wait_for(lambda: len(charons(box)) == daemons + len(ends), 90, "a charon for each router")
    memory_ = settled(box)
    daemon = median([rss(pid) for pid in charons(box)] or [0.0])
    for end in ends:
        remove_end(end)
    for site in sites:
        remove_site(client, site)
    return memory_, daemon


if __name__ == "__main__":
    sys.exit(main())
