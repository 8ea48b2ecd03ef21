"""What workloads and hosts of the internet find out about the way between them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from lab.boxes import Box
from lab.layout import INTERNET_BOX, WEB_ADDRESSES, WEB_HOST, Lab, LabError
from lab.sites import Workload

WEB, WEB6 = (address.split("/")[0] for address in WEB_ADDRESSES)
_TOLD = re.compile(r"mtu\s*[=:]\s*(\d+)", re.IGNORECASE)


def host(address: str) -> str:
    """Return an address as it stands in a URL."""
    return f"[{address}]" if ":" in address else address


def seen_from(workload: Workload, address: str = WEB) -> str:
    """Return the address that a host of the internet sees of a workload."""
    argv = ["curl", "-sS", "--max-time", "10", f"http://{host(address)}/"]
    return workload.run(argv).strip()


def fetch(workload: Workload, address: str, size: int, port: int = 8080) -> None:
    """Fetch so many bytes by TCP from a workload that serves them; LabError if it can't."""
    wanted = f"http://{host(address)}:{port}/{size}"
    retry = ("--retry", "20", "--retry-connrefused", "--retry-delay", "1", "--max-time", "40")
    argv = ["curl", "-sS", *retry, "-o", "/dev/null", "-w", "%{size_download}", wanted]
    if (got := workload.run(argv)) != str(size):
        raise LabError(f"{workload.name}: {got} of {size} bytes from {address}")


def reachable(lab: Lab, address: str) -> bool:
    """Whether an address answers a host of the internet."""
    ping = ["ping", "-n", "-c", "1", "-W", "1", address]
    return not Box(lab, INTERNET_BOX).run(ping, WEB_HOST, check=False).returncode


def largest_packet(workload: Workload, address: str, device_mtu: int) -> int:
    """Return the size of the largest packet that arrives without being cut.

    LabError unless the way tells this very size to who sends one byte more.
    """
    size = device_mtu
    for _ in range(4):
        said = _ping(workload, address, size)
        if said is None:
            break
        if said >= size:
            raise LabError(f"{size} bytes are too big for {address}, and {said} is told")
        size = said
    else:
        raise LabError(f"{workload.name}: no size arrives at {address}")
    if size < device_mtu and (told := _ping(workload, address, size + 1)) != size:
        raise LabError(f"{size} bytes arrive at {address}, but one more is told {told}")
    return size


def _ping(workload: Workload, address: str, size: int) -> int | None:
    """Send one uncut packet of a size; None if it is answered, else the size that is told."""
    version = ipaddress.ip_address(address).version
    # What the workload remembers of the way would answer instead of the way.
    workload.run(["ip", f"-{version}", "route", "flush", "cache"])
    payload = size - (28 if version == 4 else 48)
    argv = ["ping", "-n", "-M", "do", "-c", "1", "-W", "2", "-s", str(payload), address]
    done = workload.box.run(argv, workload.name, check=False)
    if not done.returncode:
        return None
    for found in _found(done.stdout + done.stderr):
        return found
    raise LabError(f"{workload.name}: {size} bytes to {address}: neither answer nor too big")


def _found(said: str) -> Iterator[int]:
    for match in _TOLD.finditer(said):
        yield int(match[1])
