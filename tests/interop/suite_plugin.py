"""A pytest plugin: the requests of Flask's and Werkzeug's own tests go through a running Handclasp.

Those tests call `werkzeug.test.run_wsgi_app(app, environ)`, itself or by a test client. With SUITE_BINARY and
SUITE_STATE set, that function is replaced: the environ is written as an HTTP/1.1 request on a kept mutual-TLS
connection to a Handclasp whose only worker is this process, and what comes back on the wire is the result. A number
in a header of its own says which application is meant.

What the wire cannot carry goes around it, by that number: objects in the environ (keys with a dot), the scheme,
server name, port, SCRIPT_NAME and client address that the test wants to see (the wire is https on a port of its own,
from 127.0.0.1), and the context variables of the test's thread, which the application would see if called there.
Back come exceptions. What the wire does carry is compared at both ends, and what only the wire carries (method, path,
query, headers, body, status) is taken from there alone.

Without the two variables, the tests run as they are. Either way SUITE_RESULTS gets the outcome of each test as JSON.
"""

from __future__ import annotations

import contextvars
import itertools
import json
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import pytest
import werkzeug.test
from werkzeug.datastructures import Headers
from werkzeug.wsgi import ClosingIterator

Environ = dict[str, Any]

REQUEST = "X-Suite-Request"
REQUEST_KEY = "HTTP_X_SUITE_REQUEST"
WAIT_S = 20
# What a server may add to an application's headers; only where the application did not set it itself.
SERVER_HEADERS = {"date", "server", "connection", "keep-alive", "content-length", "transfer-encoding"}
# Of the test's environ, in place of Handclasp's: see above.
AROUND = ("SERVER_NAME", "SERVER_PORT", "SCRIPT_NAME", "REMOTE_ADDR", "REMOTE_PORT", "REMOTE_USER", "AUTH_TYPE")
# Handclasp's, though the name has a dot.
OF_THE_SERVER = {
    "wsgi.input",
    "wsgi.multithread",
    "wsgi.multiprocess",
    "wsgi.run_once",
    "wsgi.file_wrapper",
    "wsgi.input_terminated",
}
TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


class CannotApply(AssertionError):
    """The test's environ is no request that a client could send."""


class Changed(AssertionError):
    """Something did not come through as it was sent."""


class Call:
    """One request: what goes around the wire, and what comes back there."""

    def __init__(self, app: Callable[..., Any], environ: Environ) -> None:
        self.app = app
        self.environ = environ
        self.context = contextvars.copy_context()
        self.failure: BaseException | None = None
        self.status = ""
        self.headers: list[tuple[str, str]] | None = None
        self.done = threading.Event()
        self.input: Any = None

    def run(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            write = start_response(status, headers, *rest)
            self.status, self.headers = status, list(headers)
            return write

        try:
            mine = self._environ(environ)
            self.input = environ["wsgi.input"]
            body = self.context.run(self.app, mine, start)
            if isinstance(body, environ["wsgi.file_wrapper"]):
                self.done.set()  # as it is, since that is what Handclasp looks for
                return body
            return Body(self, body)
        except BaseException as failure:
            self.fail(failure)
            raise

    def fail(self, failure: BaseException) -> None:
        if self.failure is None:
            self.failure = failure
        self.done.set()

    def _environ(self, got: Environ) -> Environ:
        want, mine = self.environ, dict(got)
        if got.get("SSL_CLIENT_VERIFY") != "SUCCESS" or got.get("SSL_CLIENT_S_DN_CN") != "alice":
            raise Changed("the client is not known")
        self._compare(got)
        for key in (*AROUND, "wsgi.url_scheme"):
            mine.pop(key, None)
        mine.update({k: want[k] for k in AROUND if k in want})
        mine.update({k: v for k, v in want.items() if "." in k and k not in OF_THE_SERVER})
        # Names of a test's own, such as FOO=bar by environ_base.
        mine.update({k: v for k, v in want.items() if k not in mine and not k.startswith("HTTP_")})
        mine["PATH_INFO"] = want.get("PATH_INFO", "")
        if want.get("wsgi.url_scheme") != "https":
            del mine["HTTPS"]
        return mine

    def _compare(self, got: Environ) -> None:
        want = self.environ
        path = want.get("SCRIPT_NAME", "") + want.get("PATH_INFO", "")
        same = {"PATH_INFO": path if path.startswith("/") else "/" + path}
        keys = ["REQUEST_METHOD", "QUERY_STRING", "CONTENT_TYPE", "SERVER_PROTOCOL"]
        keys += [k for k in want if k.startswith("HTTP_")]
        same |= {key: str(want[key]).strip(" \t") for key in keys if want.get(key)}
        if want.get("CONTENT_LENGTH"):
            same["CONTENT_LENGTH"] = str(want["CONTENT_LENGTH"])
        for key, value in same.items():
            if got.get(key) != value:
                raise Changed(f"{key} was sent as {value!r} and arrived as {got.get(key)!r}")
        unasked = [k for k in got if k.startswith("HTTP_") and not want.get(k) and k != "HTTP_HOST"]
        if unasked:
            raise Changed(f"nobody sent {unasked}")


class Body:
    """An application's iterable; says when it is closed, and what it raised."""

    def __init__(self, call: Call, body: Any) -> None:
        self._call = call
        self._body = body
        self._iterator: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return self._call.context.run(self._next)
        except StopIteration:
            raise
        except BaseException as failure:
            self._call.fail(failure)
            raise

    def _next(self) -> bytes:
        if self._iterator is None:
            self._iterator = iter(self._body)
        return next(self._iterator)

    def close(self) -> None:
        try:
            if hasattr(self._body, "close"):
                self._call.context.run(self._body.close)
        except BaseException as failure:
            self._call.fail(failure)
            raise
        finally:
            self._call.done.set()


def target_of(environ: Environ) -> str:
    """REQUEST_URI as it is where it says the same as PATH_INFO and QUERY_STRING do, else made from these."""
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    path = path if path.startswith("/") else "/" + path
    query = environ.get("QUERY_STRING", "")
    written = str(environ.get("REQUEST_URI", ""))
    if written.isascii() and written.isprintable() and not set(written) & set(" #") and written.startswith("/"):
        said, _, said_query = written.partition("?")
        if unquote_to_bytes(said).decode("latin-1") == path and said_query == query:
            return written
    target = quote(path.encode("latin-1"), safe="/:;,@!$&'()*+=~-._")
    return f"{target}?{query}" if query else target


def fields_of(environ: Environ) -> Iterator[tuple[str, str]]:
    for key, value in environ.items():
        if key.startswith("HTTP_") and key != "HTTP_HOST":
            yield key[5:].replace("_", "-").title(), value
    if environ.get("CONTENT_TYPE"):
        yield "Content-Type", environ["CONTENT_TYPE"]


def body_of(environ: Environ) -> tuple[bytes, tuple[str, str] | None]:
    """The body, and the header that frames it."""
    length = str(environ.get("CONTENT_LENGTH") or "")
    stream = environ.get("wsgi.input")
    if length:
        if not length.isdecimal():
            raise CannotApply(f"a Content-Length of {length!r} is a 400 before any application is asked")
        body = stream.read(int(length)) if stream is not None and int(length) else b""
        if len(body) != int(length):
            raise CannotApply("the body is shorter than its Content-Length: never handed to an application")
        return body, ("Content-Length", length)
    if environ.get("wsgi.input_terminated") and stream is not None:
        body = stream.read()
        chunk = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
        return chunk + b"0\r\n\r\n", ("Transfer-Encoding", "chunked")
    return b"", None


def request_octets(environ: Environ, number: int) -> bytes:
    body, framing = body_of(environ)
    host = environ.get("HTTP_HOST") or environ.get("SERVER_NAME", "localhost")
    fields = [("Host", host), *fields_of(environ), (REQUEST, str(number))]
    if framing:
        fields.append(framing)
    for name, value in fields:
        if not name or not set(name) <= TOKEN or any(c in value for c in "\r\n\0"):
            raise CannotApply(f"{name!r}: {value!r} is no header field")
    lines = [f"{environ['REQUEST_METHOD']} {target_of(environ)} {environ.get('SERVER_PROTOCOL', 'HTTP/1.1')}"]
    lines += [f"{name}: {value}" for name, value in fields]
    try:
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
    except UnicodeEncodeError as error:
        raise CannotApply(f"a header with characters that are no octets (PEP 3333): {error}") from None


class Connection:
    """A mutual-TLS connection to the server, and one response at a time from it."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        plain = socket.create_connection(("127.0.0.1", port), WAIT_S)
        self._socket = context.wrap_socket(plain, server_hostname="localhost")
        self._file = self._socket.makefile("rb")
        self.keeps = True

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def exchange(self, octets: bytes, method: str) -> tuple[str, list[tuple[str, str]], bytes]:
        self._socket.sendall(octets)
        status = self._line()
        headers: list[tuple[str, str]] = []
        while line := self._line():
            name, _, value = line.partition(":")
            headers.append((name, value.strip(" \t")))
        version, _, status = status.partition(" ")
        known = {name.lower(): value for name, value in headers}
        self.keeps = version == "HTTP/1.1" and known.get("connection", "").lower() != "close"
        return status, headers, self._body(method, status, known)

    def _line(self) -> str:
        line = self._file.readline(1 << 20)
        if not line.endswith(b"\r\n"):
            raise ConnectionError(f"the server ended the connection after {line!r}")
        return line[:-2].decode("latin-1")

    def _body(self, method: str, status: str, headers: dict[str, str]) -> bytes:
        if method == "HEAD" or status[:3] in ("204", "304") or status[0] == "1":
            return b""
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self._line(), 16):
                body += self._exactly(size)
                self._line()
            self._line()
            return body
        if "content-length" in headers:
            return self._exactly(int(headers["content-length"]))
        self.keeps = False
        return self._file.read()

    def _exactly(self, size: int) -> bytes:
        body = self._file.read(size)
        if len(body) != size:
            raise ConnectionError(f"the response ended after {len(body)} of {size} octets")
        return body


class Through:
    """`run_wsgi_app` by way of Handclasp."""

    def __init__(self, binary: str, state: Path, log: Path) -> None:
        from handclasp._serve import Server

        self._calls: dict[str, Call] = {}
        self._numbers = itertools.count(1)
        self._own = threading.local()
        self._in_process = werkzeug.test.run_wsgi_app
        self.requests = 0
        self._log = log.open("ab")
        self._context = ssl.create_default_context(cafile=state / "ca/ca.pem")
        self._context.load_cert_chain(state / "clients/alice.pem", state / "clients/alice.key")
        options = {"state": state, "limit_request_fields": 500, "timeout": WAIT_S}
        self._server = Server(
            self._dispatch, port=0, threads=4, binary=binary, stderr=self._log.fileno(), options=options
        )
        self._server.start()
        self._port = int(self._server.url.rpartition(":")[2])

    def stop(self) -> None:
        if connection := getattr(self._own, "connection", None):
            connection.close()
        self._server.stop()
        self._log.close()

    def _dispatch(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        call = self._calls[environ.pop(REQUEST_KEY)]
        self._own.is_lane = True
        return call.run(environ, start_response)

    def run_wsgi_app(
        self, app: Callable[..., Any], environ: Any, buffered: bool = False
    ) -> tuple[Iterable[bytes], str, Headers]:
        if getattr(self._own, "is_lane", False):
            # A view that calls another application: it is behind Handclasp already.
            return self._in_process(app, environ, buffered)
        # An environ that says nothing is a GET of "/".
        environ = {"REQUEST_METHOD": "GET"} | werkzeug.test._get_environ(environ)
        call = Call(app, environ)
        number = next(self._numbers)
        stream = environ.get("wsgi.input")
        begin = stream.tell() if hasattr(stream, "tell") else 0
        octets = request_octets(environ, number)
        self._calls[str(number)] = call
        try:
            status, headers, body = self._exchange(octets, environ["REQUEST_METHOD"], call)
        finally:
            del self._calls[str(number)]
            if hasattr(stream, "seek") and hasattr(call.input, "tell") and not call.input.closed:
                stream.seek(begin + call.input.tell())  # the test client sends on what was not read
        parts = [body] if body else []
        return parts if buffered else ClosingIterator(parts), status, self._checked(call, headers)

    def _exchange(self, octets: bytes, method: str, call: Call) -> tuple[str, list[tuple[str, str]], bytes]:
        connection = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = Connection(self._port, self._context)
        self.requests += 1
        keeps = False
        try:
            result = connection.exchange(octets, method)
            keeps = connection.keeps
        except (OSError, ValueError):
            if not call.done.wait(WAIT_S) or call.failure is None:
                raise
            result = ("500", [], b"")  # the failure came in the middle of a response: it was cut off, as it must be
        finally:
            if not keeps:
                connection.close()
                self._own.connection = None
        if call.headers is None and call.failure is None:
            raise Changed(f"Handclasp itself answered {result[0]}: {result[2].decode(errors='replace')}")
        if not call.done.wait(WAIT_S):
            raise Changed("the response was never closed")
        if call.failure is not None:
            if result[0][:3] != "500" and call.headers is None:
                raise Changed(f"the application failed and the answer was {result[0]}")
            raise call.failure
        if result[0] != call.status:
            raise Changed(f"the status was {call.status!r} and arrived as {result[0]!r}")
        return result

    @staticmethod
    def _checked(call: Call, got: list[tuple[str, str]]) -> Headers:
        assert call.headers is not None
        own = {name.lower() for name, _ in call.headers}
        rest = [(n, v) for n, v in got if n.lower() not in SERVER_HEADERS or n.lower() in own]
        want = [(name, value.strip(" \t")) for name, value in call.headers]
        if rest != want:
            raise Changed(f"the application's headers were {want} and arrived as {rest}")
        return Headers(rest)


class Plugin:
    def __init__(self) -> None:
        self.results: dict[str, str] = {}
        self.through: Through | None = None
        if binary := os.environ.get("SUITE_BINARY"):
            results = Path(os.environ["SUITE_RESULTS"])
            self.through = Through(binary, Path(os.environ["SUITE_STATE"]), results.with_suffix(".server.log"))
            werkzeug.test.run_wsgi_app = self.through.run_wsgi_app

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            before = self.results.get(report.nodeid, "passed")
            self.results[report.nodeid] = report.outcome if before == "passed" else before

    def pytest_sessionfinish(self) -> None:
        requests = 0
        if self.through:
            self.through.stop()
            requests = self.through.requests
        text = json.dumps({"requests": requests, "tests": self.results}, indent=1)
        Path(os.environ["SUITE_RESULTS"]).write_text(text)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Plugin())
