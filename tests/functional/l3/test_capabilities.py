"""Under eventlet the L3 agent has privsep's daemon do what needs root: what that may."""

import os
import subprocess
import sys

from swanherd.dataplane.privileged import BETWEEN_USERS, NEEDED

PROGRAM = """
import sys
from swanherd.dataplane.privileged import inside
print(int(sys.argv[1]) in inside.processes(int(sys.argv[2])))
"""


def test_the_daemon_sees_who_has_more_capabilities_than_it():
    """Such is keepalived: who doesn't see it takes every redundant router for a standby."""
    held = ",".join(f"+cap_{number}" for number in (*NEEDED, *BETWEEN_USERS))
    mine = str(os.getpid()), str(os.stat("/proc/self/ns/net").st_ino)
    python = (sys.executable, "-W", "ignore", "-c", PROGRAM, *mine)
    done = subprocess.run(
        ["setpriv", f"--bounding-set=-all,{held}", "--inh-caps=-all", *python],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "True\n", done.stderr
