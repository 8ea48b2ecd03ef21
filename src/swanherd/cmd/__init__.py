"""Commands."""

import os

# oslo.privsep imports eventlet where it is installed, and that a resolver which nothing here uses:
# without it a command begins a fifth sooner. Neutron's own commands do the same.
os.environ.setdefault("EVENTLET_NO_GREENDNS", "yes")
