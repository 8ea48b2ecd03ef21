"""Make the public port of a router under the settings named first, as OVN's backend does; tell it.

Arguments: settings, router, network.
"""

import importlib
import json
import os
import sys

_, SETTINGS, ROUTER, NETWORK = sys.argv
del sys.argv[1:]
os.environ["OS_NEUTRON_CONFIG_FILES"] = SETTINGS
importlib.import_module("neutron.wsgi.api")

from neutron_lib import context  # noqa: E402 - after Neutron's own order

from swanherd.server.public_port import PublicPorts  # noqa: E402

ports, admin = PublicPorts(), context.get_admin_context()
port = ports.ensure(admin, ROUTER, NETWORK, None)
told = {"id": port.id, "v4": port.address(4)}
ports.remove(admin, ROUTER)
json.dump({**told, "left": ports.find(admin, ROUTER) is not None}, sys.stdout)
