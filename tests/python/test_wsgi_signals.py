"""A lane that is served by the main thread, as in a debugger: signal handlers run while it waits."""

import signal
import socket
import sys
import threading

import pytest
from lane_peer import HEAD, Front
from wsgi_apps import PLAIN

from handclasp._core import Crew, Lane


@pytest.fixture
def caught():
    """What the handler of SIGUSR1 does: appends, or raises what it is told to."""
    calls = []

    def handler(number, frame):
        calls.append(number)
        if error:
            raise error.pop()

    error = []
    before = signal.signal(signal.SIGUSR1, handler)
    yield calls, error
    signal.signal(signal.SIGUSR1, before)


def signal_until(done):
    """A signal that comes just before a system call does not interrupt it: so one more."""
    main = threading.main_thread()
    for _ in range(1000):
        if done():
            return
        signal.pthread_kill(main.ident, signal.SIGUSR1)
        threading.Event().wait(0.01)


def make(app):
    ours, theirs = socket.socketpair()
    reports = []
    lane = Lane(
        theirs.detach(),
        app,
        certificate=dict,
        client=dict,
        report=lambda environ, problem: reports.append(problem),
        errors=sys.stderr,
    )
    return Front(ours), lane, reports


def run(lane, other):
    thread = threading.Thread(target=other)
    thread.start()
    try:
        Crew([lane]).serve()
    finally:
        thread.join()
        lane.close()


def test_a_handler_runs_while_a_lane_waits_for_a_request(caught):
    calls, _ = caught

    def app(environ, start_response):
        start_response("200 OK", PLAIN)
        return [b"x"]

    front, lane, _ = make(app)

    def other():
        front.hello()
        signal_until(lambda: calls)
        assert front.ask().body == b"x"
        front.close()

    run(lane, other)
    assert calls


def test_a_handler_that_raises_ends_waiting(caught):
    calls, error = caught
    error.append(KeyboardInterrupt())
    front, lane, _ = make(lambda e, s: [])
    with pytest.raises(KeyboardInterrupt):
        run(lane, lambda: signal_until(lambda: calls))
    front.close()


@pytest.mark.parametrize("kind", [KeyboardInterrupt, ValueError])
def test_a_handler_that_raises_ends_a_lane_that_waits_for_room(caught, kind):
    calls, error = caught
    error.append(kind())

    def app(environ, start_response):
        start_response("200 OK", PLAIN)
        return [bytes(5_000_000)]

    front, lane, reports = make(app)

    def other():
        front.hello()
        front.send()
        assert front.read()[0] == HEAD
        signal_until(lambda: calls)

    if kind is KeyboardInterrupt:
        with pytest.raises(KeyboardInterrupt):
            run(lane, other)
    else:
        run(lane, other)
        assert [type(report) for report in reports] == [ValueError]
    front.close()
