"""A lane with an application on it, in this process: the Python side without the server."""

from __future__ import annotations

import socket
import sys
import threading
import warnings
from wsgiref.validate import WSGIWarning, validator

import pytest
from lane_peer import Front

from handclasp._core import LANE_PROTOCOL, Crew, Lane
from handclasp.client import Client


class Served(Front):
    """The front's end; the worker's end is served by a thread until the front's is closed."""

    def __init__(self, app, *, validate=True, **options) -> None:
        ours, theirs = socket.socketpair()
        super().__init__(ours)
        self.reports: list[BaseException | str] = []
        self.failure: BaseException | None = None
        options.setdefault("certificate", lambda der, chain, variables: (der, chain, variables))
        options.setdefault("client", Client._of)
        options.setdefault("errors", sys.stderr)
        options.setdefault("report", lambda environ, problem: self.reports.append(problem))
        self.lane = Lane(theirs.detach(), validator(app) if validate else app, **options)
        self.crew = Crew([self.lane])
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()
        assert self.hello() == LANE_PROTOCOL

    def _serve(self) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", WSGIWarning)
                self.crew.serve()
        except BaseException as failure:
            self.failure = failure
        finally:
            self.lane.close()

    def end(self) -> BaseException | None:
        """Closes the lane and waits for the thread; what serve() raised."""
        self.close()
        self.thread.join(10)
        assert not self.thread.is_alive()
        return self.failure

    def ended_with(self) -> BaseException | None:
        """As end(), for a failure that the test is about."""
        self.end()
        failure, self.failure = self.failure, None
        return failure


@pytest.fixture(name="serve")
def serve_fixture():
    """serve(app) gives the front's end of a lane; nothing may be left unreported at the end."""
    served = []

    def start(app, **options):
        served.append(Served(app, **options))
        return served[-1]

    yield start
    for front in served:
        assert front.end() is None
