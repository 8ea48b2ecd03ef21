"""Whether this kernel can do ESP."""

from __future__ import annotations

from swanherd.dataplane.privileged import xfrm


def kernel_has_esp() -> bool:
    """Tell whether the kernel's XFRM takes an ESP SA for IPv4 and for IPv6."""
    return all(xfrm.accepts_esp(family) for family in (xfrm.AF_INET, xfrm.AF_INET6))
