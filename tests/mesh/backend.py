"""A small HTTP server in the place of the app: `backend.py NAME REGION FLAG`.
It says who it is; where the file FLAG is, it answers 500. SIGTERM ends it.
"""

import http.server
import json
import os
import signal
import sys
import threading

name, region, flag = sys.argv[1:4]


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Who answers, and whom its Envoy says is asking."""
        self.rfile.read(int(self.headers.get("content-length") or 0))
        asks = self.headers.get("x-forwarded-client-cert", "")
        body = json.dumps({"pod": name, "region": region, "asks": asks}).encode()
        self.send_response(500 if os.path.exists(flag) else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


class Server(http.server.ThreadingHTTPServer):
    """A thread a connection."""

    daemon_threads = True
    request_queue_size = 128


server = Server(("0.0.0.0", 9000), Handler)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()
