"""The floor: the application called as a server calls it, without a server. Prints microseconds of CPU a call.

python in_process.py SECONDS
"""

import io
import sys
import time

from hello import app

ENVIRON = {
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "",
    "PATH_INFO": "/",
    "QUERY_STRING": "",
    "REQUEST_URI": "/",
    "RAW_URI": "/",
    "SERVER_NAME": "localhost",
    "SERVER_PORT": "8443",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "SERVER_SOFTWARE": "none",
    "REMOTE_ADDR": "127.0.0.1",
    "REMOTE_PORT": "40000",
    "HTTP_HOST": "localhost",
    "HTTP_USER_AGENT": "load",
    "HTTP_ACCEPT": "*/*",
    "HTTPS": "on",
    "SSL_CLIENT_VERIFY": "SUCCESS",
    "SSL_CLIENT_S_DN": "CN=alice",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "https",
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
}


def start_response(status, headers, exc_info=None):
    pass


def call():
    environ = ENVIRON.copy()
    environ["wsgi.input"] = io.BytesIO()
    response = app(environ, start_response)
    body = b"".join(response)
    response.close()
    return body


def main():
    assert call() == b"hello\n"
    end = time.monotonic() + float(sys.argv[1])
    for _ in range(500):  # caches, and the interpreter's own specializing
        call()
    calls, began = 0, time.process_time_ns()
    while time.monotonic() < end:
        for _ in range(100):
            call()
        calls += 100
    print((time.process_time_ns() - began) / 1000 / calls)


main()
