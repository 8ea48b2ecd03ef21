"""An L3 agent that is Neutron's user in its container has root's daemons by sudo and rootwrap."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys

import pytest

from swanherd.core.home import key_of
from swanherd.core.model import HomeNamespace, Status
from swanherd.testing import builders as make
from tests.functional.l3.stand import EAST, WEST, desired, legacy
from tests.functional.server.pod import BIN, NEUTRON, ROOT, Pod

KEY = key_of(WEST.router_id, HomeNamespace.ROUTER)

# As openstack-helm's chart and its images have them. rootwrap lets privsep-helper pass by itself.
FILES = {
    # sudo looks the host's name up.
    "/etc/hosts": f"127.0.0.1 localhost {socket.gethostname()}\n",
    "/etc/neutron/neutron.conf": (
        "[DEFAULT]\nhost = gateway-1\nstate_path = /var/lib/neutron\ntransport_url = fake:/\n"
        f"[agent]\nroot_helper = sudo {BIN}/neutron-rootwrap /etc/neutron/rootwrap.conf\n"
    ),
    "/etc/neutron/l3_agent.ini": (
        "[DEFAULT]\nagent_mode = legacy\n[agent]\nextensions = vpnaas\n"
        "[swanherd]\ndata_plane = userspace\n[metrics]\nenabled = False\n"
    ),
    "/etc/neutron/rootwrap.conf": (
        "[DEFAULT]\nfilters_path=/etc/neutron/rootwrap.d\nuse_syslog=False\n"
        f"exec_dirs=/sbin,/usr/sbin,/bin,/usr/bin,{BIN}\n"
    ),
    "/etc/neutron/rootwrap.d/debug.filters": "[Filters]\nping: CommandFilter, ping, root\n",
    "/etc/sudoers": f"Defaults secure_path=/usr/sbin:/usr/bin:{BIN}\n@includedir /etc/sudoers.d\n",
    "/etc/sudoers.d/kolla_neutron_sudoers": (
        "Defaults !requiretty\n"
        f"neutron ALL = (root) NOPASSWD: {BIN}/neutron-rootwrap /etc/neutron/rootwrap.conf *\n"
    ),
}
USER = f"setpriv --reuid={NEUTRON} --regid={NEUTRON} --clear-groups --inh-caps=-all "
AGENT = f"env PYTHONPATH={ROOT} {sys.executable} -m tests.functional.l3.unprivileged"
# Neutron's own daemon in the router: root's, and not of our starting.
SCRIPT = """set -e
cp /usr/bin/sleep /tmp/keepalived
nsenter --net=/run/netns/{key} /tmp/keepalived 600 &
{agents}
! ls -d /proc/[0-9]*/exe 2>/dev/null | xargs -n1 readlink | grep charon
ls /var/lib/neutron/swanherd/routers
"""


def agents(tmp_path, *commands):
    """Run one agent after another in a container; return what each has told."""
    (tmp_path / "pod").mkdir()
    pod = Pod(tmp_path / "pod", FILES, bound={"/run/netns": "/run/netns"})
    script = SCRIPT.format(key=KEY, agents="\n".join(commands))
    done = subprocess.run(
        pod.command("sh", "-c", script),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=ROOT,
        env={"PATH": f"{BIN}:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/tmp"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def east(stand):
    if not shutil.which("sudo"):
        pytest.skip("needs sudo")
    legacy(WEST)
    site = stand.site(EAST, legacy)
    site.source.desired = desired(EAST, WEST, make.home())
    site.turn()
    return site


def test_neutrons_user_has_tunnels_that_nobody_else_can_reach(east, tmp_path):
    """By daemons that are its own; after a restart it finds them, and what it ends is gone."""
    began, again, left = agents(tmp_path, USER + AGENT, USER + AGENT + " leave")
    assert [began["uid"], again["uid"], began["helper"]] == [NEUTRON, NEUTRON, True]
    assert (again["pid"], again["spis"]) == (began["pid"], began["spis"])
    assert again["keepalived"] == 1
    assert {owner for owner, _ in began["files"].values()} == {NEUTRON}
    # The sockets' modes are charon's own; the directory keeps others from them.
    assert began["files"][KEY] == [NEUTRON, 0o700]
    assert not [name for name, (_, mode) in began["files"].items() if mode & 0o007]
    assert left == {"left": []}
    east.until(Status.DOWN)


def test_neutrons_user_goes_on_with_what_an_agent_had_that_was_root(east, tmp_path):
    """The daemon stays root's, and serves; ended by whoever isn't root it is gone too."""
    began, again, left = agents(tmp_path, AGENT, USER + AGENT + " leave")
    assert [began["uid"], again["uid"], began["helper"]] == [0, NEUTRON, False]
    assert (again["pid"], again["spis"]) == (began["pid"], began["spis"])
    assert again["files"]["charon.vici"][0] == NEUTRON
    assert left == {"left": []}
