"""Serve Neutron's API with the settings named first; write the port to the file named second."""

import importlib
import importlib.util
import os
import pathlib
import signal
import sys

_, SETTINGS, PORT = sys.argv
del sys.argv[1:]
os.environ["OS_NEUTRON_CONFIG_FILES"] = SETTINGS


def application():
    """Return Neutron's own; before 26 it makes every thread one of eventlet's."""
    if importlib.util.find_spec("neutron.wsgi").submodule_search_locations:
        return importlib.import_module("neutron.wsgi.api").application
    # Before the modules below are imported, or they would wait without letting others run.
    importlib.import_module("eventlet").monkey_patch()
    sys.argv += [part for name in SETTINGS.split(";") for part in ("--config-file", name)]
    return importlib.import_module("neutron.cmd.eventlet.server").main_api_eventlet()


APPLICATION = application()
# Before 26 a handler of ML2's has it, and leaves the ending to a launcher that isn't here.
signal.signal(signal.SIGTERM, signal.SIG_DFL)
socketserver = importlib.import_module("socketserver")
simple_server = importlib.import_module("wsgiref.simple_server")


class Server(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    """A thread for each request."""

    daemon_threads = True


class Handler(simple_server.WSGIRequestHandler):
    """Silent."""

    def log_message(self, *arguments):
        pass


server = simple_server.make_server("127.0.0.1", 0, APPLICATION, Server, Handler)
written = pathlib.Path(f"{PORT}.new")
written.write_text(str(server.server_port))
written.rename(PORT)
server.serve_forever()
