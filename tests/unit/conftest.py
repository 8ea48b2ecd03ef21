"""What costs time in every run of all unit tests."""

import gc


def pytest_sessionstart() -> None:
    """Look for garbage seldom: Neutron's modules are a million objects that stay."""
    gc.set_threshold(100_000, 50, 100)


def pytest_collection_finish() -> None:
    """What has been imported by now is no garbage."""
    gc.freeze()
