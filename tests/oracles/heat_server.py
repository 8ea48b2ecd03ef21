"""Heat's API and engine in one process, without a bus. Arguments: heat.conf and a port."""

import socketserver
import sys
from wsgiref import simple_server

from oslo_service import backend

backend.init_backend(backend.BackendType.THREADING)

from heat.api.openstack import wsgi  # noqa: E402
from heat.common import config  # noqa: E402
from heat.engine import service, template  # noqa: E402
from heat.rpc import api as rpc_api  # noqa: E402
from oslo_config import cfg  # noqa: E402


class _Server(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    daemon_threads = True


class _Quiet(simple_server.WSGIRequestHandler):
    def log_message(self, format, *args):
        pass


def main():
    configuration, port = sys.argv[1:]
    # Heat reads its own command line.
    sys.argv = ["heat", "--config-file", configuration]
    application = wsgi.init_application()
    config.startup_sanity_check()
    template._get_template_extension_manager()
    service.EngineService(cfg.CONF.host, rpc_api.ENGINE_TOPIC).start()
    server = simple_server.make_server(
        "0.0.0.0", int(port), application, server_class=_Server, handler_class=_Quiet
    )
    server.serve_forever()


if __name__ == "__main__":
    main()
