"""Property tests look for new examples at each run; CI asks the same ones each time.

A new find by chance belongs to whoever looks for it, not to the change that is under test.
"""

import os

from hypothesis import settings

settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
