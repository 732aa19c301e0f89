"""What handclasp.forwarded adds to a call, without a server: microseconds of CPU with a certificate that was seen
before, with none, and with a new one each time. Prints JSON.

python in_process_forwarded.py SECONDS STATE CERT
"""

import io
import json
import socket
import sys
import time
from pathlib import Path
from urllib.parse import quote

from handclasp.forwarded import ForwardedClientCertificate

seconds, state, cert = float(sys.argv[1]), sys.argv[2], Path(sys.argv[3]).read_text()
end = "-----END CERTIFICATE-----\n"
pem = cert[: cert.index(end) + len(end)]


def inner(environ, start_response):
    return environ.get("handclasp.verdict")


def per_call(app, environ):
    calls, spent, until = 0, 0, time.monotonic() + seconds
    while time.monotonic() < until:
        # Copies that a server would make anyway, made before the clock is looked at.
        prepared = [environ | {"wsgi.input": io.BytesIO()} for _ in range(500)]
        began = time.thread_time_ns()
        for one in prepared:
            app(one, None)
        spent += time.thread_time_ns() - began
        calls += 500
    return spent / 1000 / calls


def main():
    listener = socket.create_server(("127.0.0.1", 0))
    peer = socket.create_connection(listener.getsockname())
    connection = listener.accept()[0]
    plain = {
        **{"REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/", "QUERY_STRING": "", "RAW_URI": "/"},
        **{"SERVER_NAME": "localhost", "SERVER_PORT": "8000", "SERVER_PROTOCOL": "HTTP/1.1"},
        **{"REMOTE_ADDR": "127.0.0.1", "REMOTE_PORT": "40000", "HTTP_HOST": "localhost", "HTTP_ACCEPT": "*/*"},
        **{"HTTP_USER_AGENT": "load", "HTTP_X_FORWARDED_FOR": "192.0.2.1", "gunicorn.socket": connection},
        **{"wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.errors": sys.stderr, "wsgi.run_once": False},
        **{"wsgi.multithread": True, "wsgi.multiprocess": True},
    }
    seen = plain | {"HTTP_X_SSL_CLIENT_CERT": quote(pem, safe=""), "HTTP_X_SSL_CLIENT_VERIFY": "SUCCESS"}

    forwarded = ForwardedClientCertificate(inner, form="nginx", trusted=["127.0.0.1"], state=state)
    assert forwarded(dict(seen), None) == "ok"
    assert forwarded(dict(plain), None) == "no-certificate"
    none = per_call(inner, seen)
    figures = {"seen_us": per_call(forwarded, seen) - none, "absent_us": per_call(forwarded, plain) - none}

    def new(environ, start_response):
        forwarded._known._seen.clear()
        return forwarded(environ, start_response)

    print(json.dumps(figures | {"new_us": per_call(new, seen) - none}))
    peer.close()


main()
