"""oslo.privsep imports eventlet, where that is installed, and eventlet warns of itself."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from oslo_privsep import priv_context  # noqa: F401
