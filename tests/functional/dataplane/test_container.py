"""The agent in a container that isn't privileged, beside the keeper of namespaces that is."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest
import yaml
from oslo_privsep import capabilities

from swanherd.dataplane import keeper
from swanherd.dataplane.privileged import NEEDED, WELCOME, nft
from tests.functional.server.pod import ROOT, Pod

CHART = ROOT / "operator" / "charts" / "swanherd"
CLIENT = (sys.executable, "-m", "tests.functional.dataplane.contained")
# One node: /run/netns is shared by its mounts, and the keeper's mounts reach it.
NODE = """
set -e
mount --make-rprivate /
mount -t tmpfs none {netns}
mount --make-shared {netns}
unshare --mount --propagation=unchanged -- sh -c '
  mkdir -p /run/netns; mount --bind {netns} /run/netns
  exec {python} -m swanherd.cmd.netns_keeper --socket {keeper}/keeper.sock' &
keeper=$!
trap 'kill $keeper; wait $keeper' EXIT
while [ ! -S {keeper}/keeper.sock ]; do sleep 0.1; done
echo "begin $(ls {netns} | wc -l)"
"$@"
echo "left $(ls {netns} | wc -l)"
"$@" --then-remove
echo "end $(ls {netns} | wc -l)"
"""


def chart_capabilities() -> tuple[str, ...]:
    """Return what the chart adds after it has dropped all."""
    text = (CHART / "templates" / "daemonset.yaml").read_text()
    (line,) = (line for line in text.splitlines() if "add: [" in line)
    return tuple(yaml.safe_load(line.strip())["add"])


def node(
    tmp_path: pathlib.Path, capabilities: tuple[str, ...]
) -> subprocess.CompletedProcess[str]:
    for name in ("pod", "netns", "keeper"):
        (tmp_path / name).mkdir()
    bound = {"/run/netns": str(tmp_path / "netns"), "/run/swanherd": str(tmp_path / "keeper")}
    pod = Pod(
        tmp_path / "pod",
        {},
        empty=("/tmp", "/run", "/var/lib/swanherd"),
        bound=bound,
        own_network=True,
        capabilities=capabilities,
    )
    command = pod.command("env", f"PYTHONPATH={ROOT}/src:{ROOT}", *CLIENT)
    script = NODE.format(
        netns=tmp_path / "netns", keeper=tmp_path / "keeper", python=sys.executable
    )
    return subprocess.run(
        ["unshare", "--mount", "--", "sh", "-c", script, "node", *command],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=ROOT,
    )


def test_the_charts_capabilities_are_enough(tmp_path: pathlib.Path) -> None:
    """A tunnel comes up on a read-only root and /proc/sys; namespaces outlive the container."""
    done = node(tmp_path, chart_capabilities())
    lines = [line for line in done.stdout.splitlines() if line.split()[0] in WORDS]
    both = "5aa4e7d0-0000-4000-8000-000000000001 5aa4e7d1-0000-4000-8000-000000000002"
    assert lines == [
        *("begin 0", "found", "up", "left 2"),
        *(f"found {both}", "up", "removed", "end 0"),
    ], done.stdout + done.stderr


WORDS = ("begin", "found", "up", "left", "removed", "end")


def test_the_chart_gives_what_the_agent_says_that_it_needs() -> None:
    """No more and no less, with what is welcome."""
    given = {getattr(capabilities, f"CAP_{name}") for name in chart_capabilities()}
    assert given == {*NEEDED, *WELCOME}


def test_what_is_welcome_may_be_missing(tmp_path: pathlib.Path) -> None:
    """An operator who takes it from the chart has tunnels all the same."""
    names = chart_capabilities()
    needed = tuple(n for n in names if getattr(capabilities, f"CAP_{n}") in NEEDED)
    assert len(needed) < len(names)
    done = node(tmp_path, needed)
    assert done.stdout.splitlines().count("up") == 2, done.stdout + done.stderr


def test_without_one_of_them_nothing_is_made(tmp_path: pathlib.Path) -> None:
    """The test before would notice a list that is too short."""
    rest = tuple(name for name in chart_capabilities() if name != "NET_ADMIN")
    done = node(tmp_path, rest)
    assert "\nup\n" not in done.stdout, done.stdout


def test_the_keeper_makes_nothing_of_others(tmp_path: pathlib.Path) -> None:
    """Names that aren't ours, and what is no request, are refused."""
    for request in (
        {"delete": "qrouter-5aa4e7d0-0000-4000-8000-000000000001"},
        {"make": "../x", "firewall": "nft"},
        {"make": "qvpn-5aa4e7d0-0000-4000-8000-000000000001/..", "firewall": "nft"},
        {},
    ):
        with pytest.raises(ValueError, match="isn't one of ours"):
            keeper.do(request)


def test_the_keeper_runs_no_words_of_whoever_asks() -> None:
    """A firewall by its name, and nothing that it should be told; who asks may be anybody."""
    name = "qvpn-5aa4e7d0-0000-4000-8000-000000000009"
    with pytest.raises(ValueError, match="no such firewall"):
        keeper.do({"make": name, "firewall": "sh"})
    keeper.do({"make": name, "firewall": "nft", "closed": {"0": 'include "/etc/shadow"'}})
    try:
        assert nft.listing(name).count('"policy": "drop"') == 3
    finally:
        keeper.do({"delete": name})
