"""strongswan.conf says what the options ask for and nothing secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from swanherd.core.ike import CharonOptions
from swanherd.core.model import DataPlane
from swanherd.swan import settings
from swanherd.swan.settings import Paths, Retransmission

PATHS = Paths(Path("/state/router"))


def render(plane: DataPlane, *, aggressive: bool = False) -> str:
    return settings.render(PATHS, CharonOptions(plane, aggressive), Retransmission())


def test_userspace_marks_its_own_packets() -> None:
    """In userspace the peer may lie inside a peer CIDR: IKE goes around the tunnel's route."""
    text = render(DataPlane.USERSPACE)
    assert "kernel-libipsec kernel-netlink" in text
    assert "fwmark = !0x42" in text
    assert "fwmark = 0x42" in text
    assert "allow_peer_ts = yes" in text


def test_the_kernel_needs_no_marks() -> None:
    """With the kernel's ESP nothing of userspace is loaded."""
    text = render(DataPlane.KERNEL)
    assert "libipsec" not in text
    assert "fwmark" not in text


@pytest.mark.parametrize("plane", DataPlane)
def test_aggressive_mode_only_where_asked(plane: DataPlane) -> None:
    """The daemon-wide permission for aggressive mode is there only with a connection for it."""
    option = "i_dont_care_about_security_and_use_aggressive_mode_psk = yes"
    assert option in render(plane, aggressive=True)
    assert option not in render(plane)


def test_braces_balance() -> None:
    """Every section is closed."""
    text = render(DataPlane.USERSPACE)
    assert text.count("{") == text.count("}")
    assert text.startswith("charon-systemd {")


def test_all_files_are_in_the_routers_directory() -> None:
    """Removing the directory removes everything."""
    paths = [getattr(PATHS, name) for name, v in vars(Paths).items() if isinstance(v, property)]
    assert {path.parent for path in paths} == {PATHS.directory}
