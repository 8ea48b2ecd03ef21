"""What goes wrong on the node, in the two kinds that the wheel knows."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from oslo_privsep import comm, daemon

from swanherd.core.failures import Permanent, Temporary
from swanherd.core.model import Reason, RouterId

# The same call will fail again until somebody changes the node.
_HOPELESS = {
    errno.EPERM: "The agent lacks a capability: it needs root or CAP_SYS_ADMIN and CAP_NET_ADMIN.",
    errno.EACCES: "The agent may not do this: it needs root or CAP_SYS_ADMIN and CAP_NET_ADMIN.",
    errno.EROFS: "/proc/sys or /run is read-only in the agent's container.",
    errno.EOPNOTSUPP: "The node's kernel lacks a feature: check its nf_tables modules.",
    errno.ENOSYS: "The node's kernel lacks a feature.",
}


@contextlib.contextmanager
def failing(router_id: RouterId, code: str) -> Iterator[None]:
    """Turn what the kernel refuses into Temporary or Permanent with this code."""
    try:
        yield
    except OSError as error:
        text = error.strerror or str(error)
        if error.filename:
            text = f"{text}: {error.filename}"
        if hint := _HOPELESS.get(error.errno or 0):
            raise Permanent(router_id, Reason(code, text, hint)) from error
        raise Temporary(router_id, Reason(code, text)) from error
    except (daemon.FailedToDropPrivileges, daemon.ProtocolError, comm.PrivsepTimeout) as error:
        hint = "The agent's privsep helper didn't start or answer: see the agent's log."
        raise Temporary(router_id, Reason(code, str(error), hint)) from error
