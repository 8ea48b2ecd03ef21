"""What a process may have at once."""

from __future__ import annotations

import resource

# As many as nobody needs: programs that are started look at each up to the limit, some of them.
_MOST_FILES = 1 << 16


def raise_open_files() -> None:
    """Let this process have as many files open as it may (setrlimit(2), RLIMIT_NOFILE).

    systemd gives a service 1,024 of half a million; each router takes five sockets.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
