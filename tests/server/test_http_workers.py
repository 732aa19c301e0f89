"""Workers that die or are replaced, as clients see it."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest
from conftest import eventually
from wire import Cut, Wire, request

APPS = Path(__file__).parent / "apps"


def test_worker_killed_at_a_request_costs_that_request_alone(server):
    with server("probe:app", pythonpath=APPS, threads=1) as running, Wire(running) as wire:
        reply = wire.get("/die")
        assert reply.status == 502
        assert "died" in reply.json()["detail"]
        for _ in range(5):
            assert wire.get("/").status == 200
        running.wait_for("no response from the application.*status=502.*path=/die")


def test_worker_killed_behind_the_head_cuts_the_response(server, tmp_path):
    fifo = tmp_path / "never"
    os.mkfifo(fifo)
    with server("probe:app", pythonpath=APPS, threads=1) as running:
        with Wire(running) as wire:
            wire.send(request(f"/stream?fifo={fifo}&name=killed"))
            wire.head()
            assert wire.chunk() == b"first"
            os.kill(running.worker_pids()[0], signal.SIGKILL)
            try:
                wire.rest()
            except Cut:
                pass
            else:
                raise AssertionError("half a response ended in good order")
        with Wire(running) as wire:
            assert wire.get("/").status == 200


def test_killed_worker_costs_all_its_requests_and_no_others(server, tmp_path):
    """Two workers with two threads each; one of them dies with what it has."""
    fifo = tmp_path / "go-on"
    os.mkfifo(fifo)
    with server("probe:app", pythonpath=APPS, workers=2, threads=2) as running:
        wires = [Wire(running) for _ in range(4)]
        for n, wire in enumerate(wires):
            wire.send(request(f"/hold?fifo={fifo}&name=held-{n}"))
        running.wait_for("holding held-", count=4)
        os.kill(running.worker_pids()[0], signal.SIGKILL)
        statuses = []

        def answer(wire: Wire) -> None:
            statuses.append(wire.response().status)

        threads = [threading.Thread(target=answer, args=(wire,)) for wire in wires]
        for thread in threads:
            thread.start()
        eventually(lambda: statuses.count(502) == 2, "the dead worker's requests are answered")
        fifo.write_bytes(b"")
        for thread in threads:
            thread.join(20)
        assert sorted(statuses) == [200, 200, 502, 502]
        for wire in wires:
            assert wire.get("/").status == 200
            wire.close()


def test_rotation_of_workers_fails_no_request_under_load(server):
    options = {"workers": 2, "threads": 2, "max_requests": 40, "max_requests_jitter": 10, "log_level": "debug"}
    with server("probe:app", pythonpath=APPS, **options) as running:
        running.wait_for("worker [12] is ready", count=2)  # the first alone would serve the whole load
        first = set(running.worker_pids())
        wrong: list[object] = []
        context = running.ssl_context()

        def load() -> None:
            try:
                with Wire(running, context=context) as wire:
                    for _ in range(100):
                        reply = wire.get("/")
                        if reply.status != 200:
                            wrong.append(reply)
            except Exception as failure:  # noqa: BLE001 - the test shows it
                wrong.append(failure)

        threads = [threading.Thread(target=load) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert wrong == []
        eventually(lambda: not first & set(running.worker_pids()), "successors have taken over")


@pytest.mark.parametrize("way", ["return", "sys.exit()", "raise ValueError"])
def test_process_that_a_view_forked_never_answers_in_its_place(server, way):
    """It has a copy of the lane, on which the next client's request may be by then."""
    app = f"""
import os, sys, time

def app(environ, start_response):
    who = environ["SSL_CLIENT_S_DN_CN"].encode()
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/fork" and os.fork() == 0:
        while not os.path.exists("go-on"):
            time.sleep(0.01)
        {way if way != "return" else "return [who]"}
    if environ["PATH_INFO"] == "/slow":
        open("go-on", "w").close()
        os.waitpid(-1, 0)
    return [who]
"""
    with server(app, threads=1) as running:
        (worker,) = running.worker_pids()
        assert running.request("/fork").text == "alice"
        assert running.request("/slow", client="bob").text == "bob"
        assert running.worker_pids() == [worker]
