"""PEP 3333: exceptions at every stage, close(), and a client that goes."""

import sys
import threading

import pytest
from lane_fixture import Served, serve_fixture  # noqa: F401
from lane_peer import DATA, END, HEAD, LaneClosed
from wsgi_apps import PLAIN, Blocks, answer, fail


def body_fails(error):
    def app(environ, start_response):
        start_response("200 OK", PLAIN)
        return Blocks(b"x", fail(error))

    return app


@pytest.mark.parametrize(
    "error", [ValueError("x"), SystemExit(3), GeneratorExit(), BaseException()]
)
def test_an_exception_of_the_application_is_reported_and_the_lane_goes_on(serve, error):
    failing = [error]

    def app(environ, start_response):
        if failing:
            raise failing.pop()
        start_response("200 OK", PLAIN)
        return [b"x"]

    front = serve(app, validate=False)
    response = front.ask()
    assert (response.frames, response.failed) == ([END], True)
    assert front.reports == [error]
    assert front.ask().body == b"x"


def test_an_exception_before_the_head_was_sent_sends_none(serve):
    front = serve(lambda e, s: (s("200 OK", PLAIN), 1 / 0), validate=False)
    response = front.ask()
    assert (response.frames, response.failed) == ([END], True)
    assert isinstance(front.reports[0], ZeroDivisionError)


def test_an_exception_within_the_body_is_a_failure_after_what_was_sent(serve):
    error = ValueError()
    front = serve(body_fails(error), validate=False)
    response = front.ask()
    assert (response.frames, response.body, response.failed) == ([HEAD, DATA, END], b"x", True)
    assert front.reports == [error]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (lambda: None, TypeError),
        (lambda: 5, TypeError),
        (lambda: "text", TypeError),
        (lambda: ["text"], TypeError),
        (lambda: [bytearray(b"x")], TypeError),
        (lambda: [None], TypeError),
        (lambda: iter([5]), TypeError),
    ],
)
def test_a_body_that_is_none_is_a_failure(serve, body, expected):
    def app(environ, start_response):
        start_response("200 OK", PLAIN)
        return body()

    front = serve(app, validate=False)
    assert front.ask().failed is True
    assert [type(r) for r in front.reports] == [expected]


def test_no_start_response_is_a_failure(serve):
    front = serve(lambda e, s: [], validate=False)
    assert front.ask().failed is True
    front = serve(lambda e, s: [b"x"], validate=False)
    assert front.ask().failed is True
    assert isinstance(front.reports[0], AssertionError)


def test_close_is_called_when_all_went_well(serve):
    blocks = Blocks(b"x")
    front = serve(lambda e, s: (s("200 OK", PLAIN), blocks)[1], validate=False)
    front.ask()
    assert blocks.closed == 1


def test_close_is_called_when_the_iterable_failed(serve):
    blocks = Blocks(b"x", fail(ValueError()))
    front = serve(lambda e, s: (s("200 OK", PLAIN), blocks)[1], validate=False)
    assert front.ask().failed is True
    assert blocks.closed == 1


def test_close_is_called_when_start_response_was_not(serve):
    blocks = Blocks(b"x")
    front = serve(lambda e, s: blocks, validate=False)
    assert front.ask().failed is True
    assert blocks.closed == 1


def test_close_is_called_when_the_iterable_cannot_be_iterated(serve):
    class Closable:
        closed = False

        def close(self):
            self.closed = True

    closable = Closable()
    front = serve(lambda e, s: (s("200 OK", PLAIN), closable)[1], validate=False)
    assert front.ask().failed is True
    assert closable.closed


def test_a_generator_that_is_not_run_to_its_end_is_closed(serve):
    closed = []

    def app(environ, start_response):
        start_response("200 OK", [*PLAIN, ("Content-Length", "1")])
        try:
            yield b"xx"
            yield b"never"
        finally:
            closed.append(True)

    front = serve(app, validate=False)
    assert front.ask().body == b"x"
    assert closed == [True]


def test_a_failing_close_is_reported_and_the_response_stays_whole(serve):
    error = ValueError("close")
    blocks = Blocks(b"x", close=fail(error))
    front = serve(lambda e, s: (s("200 OK", PLAIN), blocks)[1], validate=False)
    response = front.ask()
    assert (response.body, response.failed) == (b"x", False)
    assert front.reports == [error]


def test_close_that_exits_does_not_end_the_lane(serve):
    blocks = Blocks(b"x", close=fail(SystemExit()))
    front = serve(lambda e, s: (s("200 OK", PLAIN), blocks)[1], validate=False)
    assert front.ask().body == b"x"
    assert len(front.reports) == 1


def test_a_failing_report_does_not_end_the_lane(serve, monkeypatch):
    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    front = serve(lambda e, s: 1 / 0, validate=False, report=fail(ValueError("report")))
    assert front.ask().failed is True
    assert front.ask().failed is True
    assert len(unraisable) == 2


@pytest.mark.parametrize("where", ["call", "body", "close"])
def test_a_keyboard_interrupt_ends_the_lane_after_its_request(where):
    def app(environ, start_response):
        if where == "call":
            raise KeyboardInterrupt
        start_response("200 OK", PLAIN)
        interrupt = fail(KeyboardInterrupt())
        return Blocks(b"x", *[interrupt] * (where == "body"), close=interrupt if where == "close" else lambda: None)  # fmt: skip  # noqa: E501

    front = Served(app, validate=False)
    assert front.ask().failed is (where != "close")
    with pytest.raises(LaneClosed):
        front.read()
    assert isinstance(front.end(), KeyboardInterrupt)
    assert front.reports == []


# The client goes


def test_an_iterable_is_stopped_and_closed_when_the_front_closes_the_lane():
    stopped = threading.Event()
    errors = []

    def app(environ, start_response):
        start_response("200 OK", PLAIN[:])
        try:
            while True:
                yield b"x" * 10000
        except GeneratorExit:
            stopped.set()
            raise
        except BaseException as error:
            errors.append(error)

    front = Served(app)
    front.send()
    assert front.read()[0] == HEAD
    front.close()
    assert stopped.wait(10)
    assert front.end() is None
    assert (front.reports, errors) == ([], [])


def test_write_tells_the_application_that_the_front_has_gone():
    caught = []

    def app(environ, start_response):
        write = start_response("200 OK", PLAIN)
        try:
            while True:
                write(b"x" * 10000)
        except OSError as error:
            caught.append(error)
            raise

    front = Served(app, validate=False)
    front.send()
    assert front.read()[0] == HEAD
    assert front.end() is None
    assert [type(e) for e in caught] == [BrokenPipeError]
    assert front.reports == []


def drain(front):
    """Frames up to END, of a response that may end anywhere."""
    while front.read()[0] != END:
        pass


def test_a_generator_is_closed_and_the_lane_goes_on_when_the_client_goes(serve):
    closed = []

    def app(environ, start_response):
        start_response("200 OK", PLAIN[:])
        try:
            while environ["PATH_INFO"] == "/endless":
                yield b"x"
            yield b"whole"
        finally:
            closed.append(True)

    front = serve(app)
    front.send(target="/endless")
    assert front.read()[0] == HEAD
    front.cancel()
    drain(front)
    assert closed == [True]
    assert front.ask().body == b"whole"
    assert front.reports == []


def test_write_fails_when_the_client_goes(serve):
    caught = []

    def app(environ, start_response):
        write = start_response("200 OK", PLAIN)
        try:
            while True:
                write(b"x")
        except OSError as error:
            caught.append(error)
            raise

    front = serve(app, validate=False)
    front.send()
    assert front.read()[0] == HEAD
    front.cancel()
    drain(front)
    assert [type(error) for error in caught] == [BrokenPipeError]
    assert front.reports == []


def test_a_large_block_is_not_sent_to_its_end_when_the_client_goes(serve):
    front = serve(answer(bytes(50_000_000)))
    front.send()
    assert front.read()[0] == HEAD
    front.cancel()
    received = 0
    while (frame := front.read())[0] != END:
        received += len(frame[1])
    assert received < 5_000_000
    assert front.reports == []


def test_the_applications_own_failure_is_told_also_when_the_client_has_gone(serve):
    error = ValueError("of the application")

    def app(environ, start_response):
        start_response("200 OK", PLAIN)
        try:
            while True:
                yield b"x"
        finally:
            raise error

    front = serve(app, validate=False)
    front.send()
    assert front.read()[0] == HEAD
    front.cancel()
    drain(front)
    assert front.reports == [error]


def test_a_cancel_that_comes_too_late_means_nothing(serve):
    front = serve(answer(b"x"))
    front.cancel()
    assert front.ask().body == b"x"
    front.cancel()
    front.cancel()
    assert front.ask().body == b"x"
    front.send()
    front.cancel()
    assert front.receive().body in (b"x", b"")
    assert front.ask().body == b"x"


def test_an_iterable_that_has_given_all_is_run_to_its_end_whatever_the_client_does(serve):
    go_on = threading.Event()
    ran = []

    def app(environ, start_response):
        start_response("200 OK", [*PLAIN, ("Content-Length", "1")])
        yield b"x"
        assert go_on.wait(10)
        ran.append(True)

    front = serve(app)
    front.send()
    assert front.read()[0] == HEAD
    front.cancel()
    go_on.set()
    drain(front)
    assert ran == [True]


def test_a_slow_front_does_not_hold_the_interpreter():
    """The lane's thread waits for room in the socket; others run meanwhile."""
    front = Served(answer(bytes(5000000)))
    front.send()
    assert front.read()[0] == HEAD
    assert sum(range(100000)) == 4999950000  # would hang here with the GIL held
    assert len(front.receive_rest()) == 5000000
    assert front.end() is None
