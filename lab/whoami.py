"""A host of the internet that tells each TCP client the address it came from (port 80).

A request line `GET /size` is answered with that many bytes instead.
"""

from __future__ import annotations

import http.server
import socket
import sys


class Answer(http.server.BaseHTTPRequestHandler):
    """Answers every GET with the client's address."""

    protocol_version = "HTTP/1.0"

    def do_GET(self) -> None:
        """Answer one request."""
        size = self.path.strip("/")
        address = self.client_address[0].removeprefix("::ffff:")
        body = bytes(int(size)) if size.isdigit() else f"{address}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log to standard output."""
        print(self.client_address[0], format % args, flush=True)


class Server(http.server.ThreadingHTTPServer):
    """Listens on IPv6 and IPv4."""

    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        """Take IPv4 clients too."""
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


if __name__ == "__main__":
    Server(("::", int(sys.argv[1]) if len(sys.argv) > 1 else 80), Answer).serve_forever()
