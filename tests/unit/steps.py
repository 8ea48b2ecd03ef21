"""How much work something is, on any machine."""

import sys


def calls_of(work):
    """Return how many calls the work makes, those of C functions included."""
    count = 0

    def counted(_frame, event, _argument):
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(counted)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count
