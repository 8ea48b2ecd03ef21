from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from swanherd.swan import process

# Its first thread is gone, as /proc shows: a zombie. Another still has its files.
LEAVING = """
import ctypes, sys, threading
threading.Thread(target=sys.stdin.read).start()
print("leaving", flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""


def fields(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def test_a_process_that_is_leaving_has_not_ended() -> None:
    """A zombie may hold a TUN device or a port: what takes its place waits for its end."""
    argv = (sys.executable, "-c", LEAVING)
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as leaving:
        assert leaving.stdout is not None and leaving.stdin is not None
        assert leaving.stdout.readline() == b"leaving\n"
        started = int(fields(leaving.pid)[19])
        assert not process.wait_ended(leaving.pid, started, 0.2)
        assert process.look_up(leaving.pid) is None
        assert process.wait_ended(leaving.pid, started + 1, 0.2)  # another one of that id
        leaving.stdin.close()
        assert process.wait_ended(leaving.pid, started, 10)
