"""Serve another service's application: `serve_wsgi.py WHERE PORT`, as environment variables say.

WHERE is `module:attribute`, or the path of a file for Paste Deploy. The port goes to file PORT.
"""

import importlib
import pathlib
import socketserver
import sys
from wsgiref import simple_server

_, WHERE, PORT = sys.argv
del sys.argv[1:]


def application():
    """Return the application."""
    if WHERE.startswith("/"):
        return importlib.import_module("paste.deploy").loadapp(f"config:{WHERE}")
    module, _, attribute = WHERE.partition(":")
    return getattr(importlib.import_module(module), attribute)


class Server(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    """A thread for each request."""

    daemon_threads = True


class Handler(simple_server.WSGIRequestHandler):
    """Silent."""

    def log_message(self, *arguments):
        pass


server = simple_server.make_server("127.0.0.1", 0, application(), Server, Handler)
written = pathlib.Path(f"{PORT}.new")
written.write_text(str(server.server_port))
written.rename(PORT)
server.serve_forever()
