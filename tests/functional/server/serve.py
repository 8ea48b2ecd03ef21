"""Serve Neutron's API with the settings named first; write the port to the file named second."""

import importlib
import os
import pathlib
import socketserver
import sys
from wsgiref import simple_server

_, SETTINGS, PORT = sys.argv
del sys.argv[1:]
os.environ["OS_NEUTRON_CONFIG_FILES"] = SETTINGS

application = importlib.import_module("neutron.wsgi.api").application


class Server(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    """A thread for each request."""

    daemon_threads = True


class Handler(simple_server.WSGIRequestHandler):
    """Silent."""

    def log_message(self, *arguments):
        pass


server = simple_server.make_server("127.0.0.1", 0, application, Server, Handler)
written = pathlib.Path(f"{PORT}.new")
written.write_text(str(server.server_port))
written.rename(PORT)
server.serve_forever()
