"""In L3 agents of Neutron 24 and 26 threads are eventlet's: what waits must let others work."""

import subprocess
import sys

import pytest

pytest.importorskip("eventlet", reason="this release of Neutron has none")

# Before the patch, as other modules of the agent have it.
PROGRAM = """
import socketserver, sys, time
import eventlet
eventlet.monkey_patch()
import json, os, pathlib, socket, subprocess, threading
from swanherd.agent import control, listener
from swanherd.swan import process

ticks = []
def tick():
    while True:
        ticks.append(1)
        time.sleep(0.01)
threading.Thread(target=tick, daemon=True).start()

path = pathlib.Path(sys.argv[1])
stop = control.serve(path, {"show": lambda request: len(ticks)})
def ask():
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(path))
        client.sendall(b'{"command": "show"}\\n')
        return json.loads(client.makefile().read())
assert ask()["ok"]
listening = listener.Listener(listener.Address("127.0.0.1", 0), lambda: [b"x 1\\n"], None)
listening.ensure()
with socket.create_connection(("127.0.0.1", listening.port), 10) as client:
    client.sendall(b"GET /metrics HTTP/1.0\\r\\n\\r\\n")
    assert b"200 OK" in client.makefile("rb").read()

sleeper = subprocess.Popen(["sleep", "1"])
handle = os.pidfd_open(sleeper.pid)
before = len(ticks)
assert not process.has_ended(handle, 0.2)
assert process.has_ended(handle, 10)
assert len(ticks) - before > 20, len(ticks) - before
listening.stop()
stop()
assert not path.exists()
print("all went on")
"""


def test_what_waits_lets_others_work(tmp_path):
    """The control socket, metrics, and the wait for a process: none holds up another thread."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(tmp_path / "control" / "socket")],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "all went on\n"), done.stderr
