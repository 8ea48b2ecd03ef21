"""nftables through libnftables, in this process (libnftables.h; Debian: libnftables1)."""

from __future__ import annotations

import ctypes
import errno
import functools
import json
import threading
from typing import Any

from swanherd import descriptors
from swanherd.dataplane.privileged import default, inside, removals

TABLE = "inet swanherd"

_JSON = 1 << 4  # NFT_CTX_OUTPUT_JSON

# libnftables keeps caches in global variables (iface.c), whatever its context.
_lock = threading.Lock()


@default.entrypoint
def load(namespace: str, ruleset: str) -> None:
    """Run nft commands as one transaction inside the namespace: all of them or none."""
    with removals.by_us(namespace):
        inside.within(namespace, lambda: run(ruleset))


@default.entrypoint
def listing(namespace: str) -> str:
    """Return our table as JSON (libnftables-json(5)); an empty string if there is none."""
    return inside.within(namespace, list_table)


@default.entrypoint
def refusal(ruleset: str) -> str:
    """Return why the kernel doesn't take the nft commands; an empty string if it does.

    They are tried in a network namespace that is gone at once.
    """

    def attempt() -> str:
        inside.check(inside.libc.unshare(inside.CLONE_NEWNET), "unshare")
        try:
            run(ruleset)
        except OSError as error:
            return error.strerror or str(error)
        return ""

    return inside.in_thread(attempt)


def list_table() -> str:
    """Return our table in this thread's namespace as JSON; an empty string if there is none."""
    tables: list[dict[str, Any]] = json.loads(run("list tables", _JSON))["nftables"]
    names = (f"{t['family']} {t['name']}" for item in tables if (t := item.get("table")))
    return run(f"list table {TABLE}", _JSON) if TABLE in names else ""


def run(commands: str, flags: int = 0) -> str:
    """Run nft commands in this thread's namespace and return what they print."""
    library = _library()
    with _lock:
        descriptors.demand_low()
        # Its netlink socket is opened here, thus in this thread's namespace.
        nft = library.nft_ctx_new(0)
        if not nft:
            raise OSError(errno.ENOMEM, "libnftables gave no context")
        try:
            library.nft_ctx_output_set_flags(nft, flags)
            library.nft_ctx_buffer_output(nft)
            library.nft_ctx_buffer_error(nft)
            failed = library.nft_run_cmd_from_buffer(nft, commands.encode())
            output: bytes = library.nft_ctx_get_output_buffer(nft)
            error: bytes = library.nft_ctx_get_error_buffer(nft)
        finally:
            library.nft_ctx_free(nft)
    if failed:
        raise OSError(_error_number(error), f"nft: {error.decode(errors='replace').strip()}")
    return output.decode()


def _error_number(text: bytes) -> int:
    """Guess why: libnftables tells it in words only."""
    if b"not supported" in text:
        return errno.EOPNOTSUPP
    return errno.EPERM if b"not permitted" in text else errno.EIO


@functools.cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL("libnftables.so.1")
    library.nft_ctx_new.restype = ctypes.c_void_p
    library.nft_ctx_new.argtypes = [ctypes.c_uint32]
    library.nft_ctx_free.argtypes = [ctypes.c_void_p]
    library.nft_ctx_free.restype = None
    library.nft_ctx_output_set_flags.argtypes = [ctypes.c_void_p, ctypes.c_uint]
    library.nft_ctx_output_set_flags.restype = None
    for name in ("nft_ctx_buffer_output", "nft_ctx_buffer_error"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
    for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
        getattr(library, name).restype = ctypes.c_char_p
    library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    return library
