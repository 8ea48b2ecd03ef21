"""Property tests look for new examples at each run; CI asks the same ones each time.

A new find by chance belongs to whoever looks for it, not to the change that is under test.
"""

import gc
import os

from hypothesis import settings

# Few examples at each run, many runs; `make test-long` and `EXAMPLES=1000 make unit` look harder.
_EXAMPLES = int(os.environ.get("EXAMPLES", "12"))
settings.register_profile("ours", max_examples=_EXAMPLES, deadline=None)
settings.register_profile("ci", settings.get_profile("ours"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "ours")

# What is imported stays to the end: looking through it for garbage costs more than it frees.
gc.disable()


def pytest_collection_finish():
    """Collect what tests make, and no modules."""
    gc.freeze()
    gc.enable()
