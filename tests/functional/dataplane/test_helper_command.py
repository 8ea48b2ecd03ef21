"""How the privsep helper is started, where the agent isn't root."""

import subprocess
import sys

import pytest

# A process of its own: oslo.privsep keeps what it was told for good.
PROGRAM = """
import sys
from oslo_config import cfg
from swanherd.dataplane import privileged
if "beside" in sys.argv:
    from neutron.conf.agent import common
    common.register_root_helper(cfg.CONF)
for file in sys.argv[1:5]:
    cfg.CONF(["--config-file", file], project="neutron", default_config_dirs=[])
    privileged.follow_neutron(cfg.CONF)
    print(*privileged.default.helper_command("/s"))
"""
ROOTWRAP = "sudo /opt/bin/neutron-rootwrap /etc/neutron/rootwrap.conf"
CONTEXT = "--privsep_context swanherd.dataplane.privileged.default --privsep_sock_path /s"
CASES = (
    ("", "sudo privsep-helper --config-file {file}"),
    (f"[agent]\nroot_helper = {ROOTWRAP}\n", f"{ROOTWRAP} privsep-helper --config-file {{file}}"),
    (f"[privsep]\nhelper_command = {ROOTWRAP} privsep-helper\n", f"{ROOTWRAP} privsep-helper"),
    ("[privsep]\nhelper_command = theirs\n[swanherd_privileged]\nhelper_command = ours\n", "ours"),
)


@pytest.mark.parametrize("beside", [True, False])
def test_as_neutrons_own_unless_told_otherwise(beside, tmp_path):
    """In an L3 agent, which has the options, and in an agent of our own."""
    expected, files = "", []
    for number, (text, command) in enumerate(CASES):
        files.append(tmp_path / f"{number}.conf")
        files[-1].write_text(text)
        expected += f"{command.format(file=files[-1])} {CONTEXT}\n"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, *files, *(["beside"] if beside else [])],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert expected == done.stdout, done.stderr
