"""What a lane keeps after many requests, and what it does when memory runs out."""

import contextlib
import gc
import socket
import sys
import tempfile

import pytest
from lane_fixture import serve_fixture  # noqa: F401
from lane_peer import Front, LaneClosed
from wsgi_apps import PLAIN, Blocks, fail

from handclasp._core import LANE_PROTOCOL, Crew, Lane
from handclasp.client import Client


def app(environ, start_response):
    """Every kind of response, by path."""
    path = environ["PATH_INFO"]
    if path == "/fail":
        raise ValueError("failed")
    if path == "/status":
        start_response("no status", [])
    if path == "/header":
        start_response("200 OK", [("A", "b"), ("C", "\n")])
    write = start_response("200 OK", PLAIN)
    if path == "/write":
        write(b"written")
    if path == "/twice":
        start_response("500 Twice", [], (ValueError, ValueError(), None))
    if path == "/sent":
        write(b"x")
        start_response("500 Late", [], (ValueError, ValueError(), None))
    if path == "/file":
        return environ["wsgi.file_wrapper"](open(__file__, "rb"))  # noqa: SIM115 - closed by the lane
    if path == "/refuse":
        environ["handclasp.refuse"]("because")
    if path == "/short":
        return Blocks(b"x", fail(ValueError()), close=fail(ValueError()))
    if path == "/ask":
        environ["handclasp.client"].suspend("lost")
    if path == "/generator":
        return (block for block in (b"", b"a", b"b"))
    environ["itself"] = environ  # a cycle, for the collector
    return [environ["wsgi.input"].read()]


PATHS = [
    *("/", "/fail", "/status", "/header", "/write", "/twice", "/sent", "/file", "/refuse"),
    *("/short", "/generator", "/ask"),
]
OK = b'{"ok":true}'


def ask_all(front, file):
    for path in PATHS:
        headers = [("Host", "x"), ("X-Some", "a"), ("X-Some", "b"), ("X_Bad", "c"), ("X" * 50, "")]
        front.send("POST", path, headers, b"body", slot=1, remote_user="alice")
        if path == "/ask":
            front.answer_next(OK)
        front.receive()
        front.send_with_file(file.fileno(), 4, "POST", path, headers, slot=1)
        if path == "/ask":
            front.answer_next(OK)
        front.receive()
    front.send_cert(1, [("SSL_CLIENT_S_DN", "CN=alice")], chain=[b"issuer"])
    front.send_client(1, "alice", "meter reader", '{"room":7}')
    front.send_client(1, known=False)
    front.send_client(1, "alice", "meter", '{"room":7}')
    front.send_server([("SSL_SERVER_S_DN", "CN=localhost")])


def test_thousands_of_requests_leave_nothing_behind(serve):
    report = lambda environ, problem: None  # noqa: E731
    front = serve(app, validate=False, report=report)
    front.send_cert(1, [])
    front.send_client(1, "alice")
    with tempfile.TemporaryFile() as file:
        file.write(b"body")
        file.flush()
        for _ in range(300):  # free lists and caches fill up
            ask_all(front, file)
        front.ask()
        gc.collect()
        counted = [app, report, sys.stderr, PLAIN, PLAIN[0], sys.modules["io"].BytesIO]
        blocks, references = sys.getallocatedblocks(), [sys.getrefcount(c) for c in counted]
        for _ in range(200):
            ask_all(front, file)
        front.ask()
        gc.collect()
        assert sys.getallocatedblocks() - blocks < 180  # a leak by one path would be 200 or more
        assert all(sys.getrefcount(c) - before < 20 for c, before in zip(counted, references, strict=True))


def test_a_lane_is_freed_with_all_it_held():
    class App:
        def __call__(self, environ, start_response):
            start_response("200 OK", PLAIN)
            return [b"x"]

    for closed in (True, False):
        ours, theirs = socket.socketpair()
        own = App()
        own.lane = Lane(
            theirs.detach(),
            own,
            certificate=print,
            client=Client._of,
            report=print,
            errors=sys.stderr,
        )
        front = Front(ours)
        front.send_cert(1, [])
        front.send_client(1, "alice")  # it knows its lane: a cycle
        ours.shutdown(socket.SHUT_WR)
        fd = own.lane.fileno()
        if closed:
            own.lane.close()
            own.lane.close()
            with pytest.raises(RuntimeError, match="closed"):
                Crew([own.lane])
        else:
            Crew([own.lane]).serve()
        assert own.lane.fileno() == -1
        del own
        gc.collect()
        assert not [o for o in gc.get_objects() if type(o) is App]
        with pytest.raises(OSError):
            socket.socket(fileno=fd)
        ours.close()


def test_a_lane_is_served_once_at_a_time(serve):
    front = serve(app, validate=False)
    with pytest.raises(RuntimeError, match="being served"):
        Crew([front.lane])
    with pytest.raises(RuntimeError, match="being served"):
        front.lane.close()
    assert front.ask("POST", body=b"x").body == b"x"


@pytest.mark.parametrize(
    "keywords",
    [
        {},
        {"certificate": dict},
        {"certificate": dict, "report": print, "errors": None},
        {"certificate": dict, "client": dict, "report": print},
        {"certificate": dict, "client": dict, "report": print, "errors": None, "other": 1},
    ],
)
def test_a_lane_must_be_told_all_it_needs(keywords):
    with pytest.raises(TypeError):
        Lane(0, app, **keywords)


def serve_without_memory(path, nth):
    """Whether serve() raised MemoryError, and the response where one came."""
    capi = pytest.importorskip("_testcapi")
    ours, theirs = socket.socketpair()
    front = Front(ours)
    lane = Lane(
        theirs.detach(),
        app,
        certificate=lambda *arguments: arguments,
        client=Client._of,
        report=lambda environ, problem: None,
        errors=sys.stderr,
    )
    front.send_cert(1, [("SSL_CLIENT_S_DN", "CN=alice")], chain=[b"issuer"])
    front.send_client(1, "alice", "meter", '{"room":7}')
    front.send("POST", path, [("Host", "x"), ("A", "b"), ("A", "c")], b"body", slot=1)
    if path == "/ask":
        front.answer(OK)
    ours.shutdown(socket.SHUT_WR)
    raised, response = False, None
    capi.set_nomemory(nth, nth + 1)
    try:
        Crew([lane]).serve()
    except MemoryError:
        raised = True
    except RuntimeError:  # an answer to what could not be asked
        raised = path == "/ask"
    finally:
        capi.remove_mem_hooks()
    lane.close()
    with contextlib.suppress(LaneClosed, ConnectionResetError):  # reset: the request was not even read
        assert front.hello() == LANE_PROTOCOL
        response = front.receive()
    front.close()
    return raised, response


# Not those that make functions or JSON: without memory for one CPython 3.12 and 3.13 crash by themselves.
@pytest.mark.parametrize("path", [p for p in PATHS if p not in ("/short", "/generator", "/ask")])
def test_an_allocation_that_fails_fails_its_request_and_nothing_else(path):
    serve_without_memory(path, 10**6)  # what is made once is made
    _, whole = serve_without_memory(path, 10**6)
    outcomes = set()
    for nth in range(1, 250):
        raised, response = serve_without_memory(path, nth)
        outcomes.add((raised, response is not None and response == whole))
        if response is None:
            assert raised
        elif not response.failed:
            assert response == whole
    assert (True, False) in outcomes  # early ones
    assert (False, True) in outcomes or whole.failed  # past the last
