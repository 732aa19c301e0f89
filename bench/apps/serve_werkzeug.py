"""Werkzeug's server with two-way TLS, as in `app.run(ssl_context=...)`: python serve_werkzeug.py PORT CERT KEY CA."""

import logging
import ssl
import sys

from hello import app
from werkzeug.serving import WSGIRequestHandler, make_server

port, cert, key, ca = sys.argv[1:5]


class Handler(WSGIRequestHandler):
    def make_environ(self):
        environ = super().make_environ()
        environ["SSL_CLIENT_S_DN"] = str(self.connection.getpeercert()["subject"])
        return environ


logging.getLogger("werkzeug").setLevel(logging.ERROR)
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca)
context.load_cert_chain(cert, key)
context.verify_mode = ssl.CERT_REQUIRED
make_server("127.0.0.1", int(port), app, threaded=True, request_handler=Handler, ssl_context=context).serve_forever()
