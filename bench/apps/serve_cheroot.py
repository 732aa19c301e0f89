"""cheroot with two-way TLS: python serve_cheroot.py PORT CERT KEY CA; one process of several on one port."""

import ssl
import sys

from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Server
from hello import app

port, cert, key, ca = sys.argv[1:5]
server = Server(("127.0.0.1", int(port)), app, numthreads=4, reuse_port=True)
server.ssl_adapter = BuiltinSSLAdapter(cert, key, ca)
server.ssl_adapter.context.load_verify_locations(ca)
server.ssl_adapter.context.verify_mode = ssl.CERT_REQUIRED
server.timeout = 75
server.keep_alive_conn_limit = 10000
server.safe_start()
