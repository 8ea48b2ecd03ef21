"""Clear what neutron-vpnaas' OVN driver made for a router, or make it again, in Neutron itself.

Arguments: settings, router, "clear" or "restore", peers' networks.
"""

import importlib
import json
import os
import sys

_, SETTINGS, ROUTER, STEP, *PEERS = sys.argv
del sys.argv[1:]
os.environ["OS_NEUTRON_CONFIG_FILES"] = SETTINGS
importlib.import_module("neutron.wsgi.api")

from neutron_lib import context  # noqa: E402 - after Neutron's own order

from swanherd.server import predecessor  # noqa: E402

admin = context.get_admin_context()
if STEP == "clear":
    done = predecessor.clear(admin, ROUTER)
else:
    done = predecessor.restore(admin, ROUTER, "gw1", PEERS)
json.dump(done, sys.stdout)
