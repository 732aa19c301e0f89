"""Several lanes and the threads that serve them: who takes which request, and what is never left behind."""

from __future__ import annotations

import gc
import os
import random
import signal
import socket
import struct
import sys
import threading
import time
import weakref

import pytest
from lane_peer import Front, LaneClosed, cert_frame, client_frame, request_frame

from handclasp._core import Crew, Lane
from handclasp.client import Client
from handclasp.worker import make_crew

PLAIN = [("Content-Type", "text/plain")]


def echo(environ, start_response):
    start_response("200 OK", PLAIN)
    return [environ["PATH_INFO"].encode()]


class Held:
    """An application whose one path does not go on before it is told to."""

    def __init__(self, path: str, then=echo) -> None:
        self.path, self.then = path, then
        self.within, self.go_on = threading.Event(), threading.Event()

    def __call__(self, environ, start_response):
        if environ["PATH_INFO"] == self.path:
            self.within.set()
            assert self.go_on.wait(30)
        return self.then(environ, start_response)


class Served:
    """Lanes with an application on them, and threads."""

    def __init__(self, app, lanes: int, threads: int, after=None) -> None:
        pairs = [socket.socketpair() for _ in range(lanes)]
        self.fronts = [Front(ours) for ours, _ in pairs]
        self.reports: list[BaseException | str] = []
        self.lanes = [
            Lane(
                theirs.detach(),
                app,
                certificate=lambda *arguments: arguments,
                client=Client._of,
                report=lambda environ, problem: self.reports.append(problem),
                errors=sys.stderr,
                after=after,
                multithread=True,
            )
            for _, theirs in pairs
        ]
        self.crew = Crew(self.lanes)
        self.failures: list[BaseException] = []
        self.threads = [threading.Thread(target=self._serve) for _ in range(threads)]
        for thread in self.threads:
            thread.start()
        for front in self.fronts[:threads]:
            front.hello()

    def _serve(self) -> None:
        try:
            self.crew.serve()
        except BaseException as failure:
            self.failures.append(failure)

    def end(self) -> None:
        for front in self.fronts:
            front.close()
        for thread in self.threads:
            thread.join(10)
            assert not thread.is_alive()


@pytest.fixture
def crew():
    served = []

    def start(app, lanes=4, threads=None, **options) -> Served:
        served.append(Served(app, lanes, lanes if threads is None else threads, **options))
        return served[-1]

    yield start
    for one in served:
        one.end()
        assert not one.failures


def test_each_thread_greets_on_a_lane_of_its_own(crew):
    served = crew(echo, lanes=3, threads=2)
    served.fronts[2].peer.setblocking(False)
    with pytest.raises(BlockingIOError):
        served.fronts[2].peer.recv(1)


def test_as_many_requests_at_a_time_as_threads(crew):
    all_here = threading.Barrier(4, timeout=10)

    def app(environ, start_response):
        all_here.wait()
        return echo(environ, start_response)

    served = crew(app)
    for _ in range(20):
        for front in served.fronts:
            front.send()
        assert [front.receive().body for front in served.fronts] == [b"/"] * 4


def test_one_thread_serves_every_lane(crew):
    served = crew(echo, lanes=4, threads=1)
    for round_ in range(50):
        for number, front in enumerate(served.fronts):
            front.send(target=f"/{round_}/{number}")
        for number, front in enumerate(served.fronts):
            assert front.receive().body == f"/{round_}/{number}".encode()


def test_a_view_that_waits_holds_up_nobody(crew):
    app = Held("/slow")
    served = crew(app, lanes=2)
    slow, quick = served.fronts
    slow.send(target="/slow")
    assert app.within.wait(10)
    for n in range(100):
        assert quick.ask(target=f"/{n}").body == f"/{n}".encode()
    app.go_on.set()
    assert slow.receive().body == b"/slow"


def test_a_view_that_computes_holds_up_nobody_for_ever(crew):
    done = []

    def app(environ, start_response):
        if environ["PATH_INFO"] == "/long":
            while not done:
                pass
        else:
            done.append(True)
        return echo(environ, start_response)

    served = crew(app, lanes=2)
    served.fronts[0].send(target="/long")
    served.fronts[1].send(target="/other")
    assert [front.receive().body for front in served.fronts] == [b"/long", b"/other"]


def test_what_came_while_all_were_busy_is_answered(crew):
    """Requests on two lanes while the only thread is within another: told once, and not forgotten."""
    app = Held("/first")
    served = crew(app, lanes=3, threads=1)
    served.fronts[0].send(target="/first")
    assert app.within.wait(10)
    served.fronts[1].send(target="/1")
    served.fronts[2].send(target="/2")
    app.go_on.set()
    assert [front.receive().body for front in served.fronts] == [b"/first", b"/1", b"/2"]


def test_a_request_that_comes_before_its_lane_is_free_again_is_answered(crew):
    """The front has END, and another thread is told of what it sends next."""
    go_on = threading.Event()

    def after():
        if threading.current_thread() is slow[0]:
            assert go_on.wait(10)

    def app(environ, start_response):
        if environ["PATH_INFO"] == "/slow":
            slow.append(threading.current_thread())
        return echo(environ, start_response)

    slow: list[threading.Thread] = []
    served = crew(app, lanes=2, after=after)
    front, other = served.fronts
    assert front.ask(target="/slow").body == b"/slow"
    front.send(target="/next")
    assert other.ask(target="/other").body == b"/other"  # told after that
    go_on.set()
    assert front.receive().body == b"/next"


def test_a_request_in_pieces(crew):
    served = crew(echo, lanes=2)
    front = served.fronts[0]
    octets = request_frame("POST", "/pieces", body=bytes(300_000))

    def send_slowly():
        for at in range(0, len(octets), 50_000):
            front.peer.sendall(octets[at : at + 50_000])
            time.sleep(0.01)

    sender = threading.Thread(target=send_slowly)
    sender.start()
    for _ in range(20):
        assert served.fronts[1].ask(target="/other").body == b"/other"
    sender.join()
    assert front.receive().body == b"/pieces"


def test_an_interrupt_from_a_view_ends_its_request_and_leaves_the_lanes():
    def app(environ, start_response):
        if environ["PATH_INFO"] == "/interrupt":
            raise KeyboardInterrupt
        return echo(environ, start_response)

    served = Served(app, lanes=3, threads=1)
    for n, target in enumerate(["/interrupt", "/1", "/2"]):
        served.fronts[n].send(target=target)
    served.threads[0].join(10)
    assert [type(f) for f in served.failures] == [KeyboardInterrupt]
    assert served.fronts[0].receive().failed
    again = threading.Thread(target=served.crew.serve)
    again.start()
    served.fronts[1].hello()
    assert served.fronts[1].receive().body == b"/1"
    assert served.fronts[0].ask(target="/0").body == b"/0"
    served.end()
    again.join(10)
    assert not again.is_alive()


def interrupted(environ, start_response):
    if environ["PATH_INFO"] == "/interrupt":
        raise KeyboardInterrupt
    return echo(environ, start_response)


def serve_through_interrupts(crew: Crew) -> None:
    while True:
        try:
            return crew.serve()
        except KeyboardInterrupt:
            continue


@pytest.mark.parametrize("threads", [1, 2])
def test_an_interrupt_in_the_last_request_of_a_lane_does_not_hide_its_end(threads):
    """The end was told with the request, and is told no second time; also where another thread is within a request."""
    app = Held("/hold", interrupted)
    served = Served(app, lanes=2, threads=0)
    other, last = served.fronts
    serving = [
        threading.Thread(target=serve_through_interrupts, args=(served.crew,), daemon=True) for _ in range(threads)
    ]
    if threads > 1:
        serving[1].start()
        other.hello()
        other.send(target="/hold")
        assert app.within.wait(10)
    last.send(target="/interrupt")
    last.peer.shutdown(socket.SHUT_WR)
    serving[0].start()
    if threads > 1:
        last.hello()
    assert last.receive().failed
    if threads == 1:
        last.hello()  # the thread has come back, and the other lane had its first
    with pytest.raises(LaneClosed):
        last.read()
    app.go_on.set()
    other.close()
    for thread in serving:
        thread.join(10)
        assert not thread.is_alive()


def test_an_interrupt_before_a_request_leaves_what_was_read_with_it():
    """CERT and REQUEST come in one; a signal's handler raises while the certificate is made."""
    front_end, lane_end = socket.socketpair()
    front, interrupts = Front(front_end), [KeyboardInterrupt()]

    def certificate(der, chain, variables):
        while interrupts:
            raise interrupts.pop()
        return der

    lane = Lane(
        lane_end.detach(),
        echo,
        certificate=certificate,
        client=Client._of,
        report=lambda environ, problem: None,
        errors=sys.stderr,
    )
    crew = Crew([lane])
    front.send_cert(0, [])
    front.send(target="/behind")
    with pytest.raises(KeyboardInterrupt):
        crew.serve()
    thread = threading.Thread(target=crew.serve, daemon=True)
    thread.start()
    front.hello()
    assert front.receive().body == b"/behind"
    front.close()
    thread.join(10)
    assert not thread.is_alive()


def test_a_lane_closed_in_the_queue_has_no_turn():
    """Two threads leave: the first puts its lane into the queue, the second does not look there any more."""
    within, go_on = threading.Semaphore(0), [threading.Event(), threading.Event()]

    def app(environ, start_response):
        if environ["PATH_INFO"].startswith("/leave"):
            within.release()
            assert go_on[int(environ["QUERY_STRING"])].wait(10)
            raise KeyboardInterrupt
        return echo(environ, start_response)

    served = Served(app, lanes=3, threads=2)
    served.fronts[0].send(target="/leave?0")
    assert within.acquire(timeout=10)
    served.fronts[0].cancel()  # told before the next request is, so the lane has more
    served.fronts[1].send(target="/leave?1")
    assert within.acquire(timeout=10)
    go_on[0].set()
    assert served.fronts[0].receive().failed
    while len(served.failures) < 1:
        time.sleep(0.001)
    go_on[1].set()
    for thread in served.threads:
        thread.join(10)
        assert not thread.is_alive()
    served.lanes[0].close()
    again = threading.Thread(target=served._serve)
    again.start()
    assert served.fronts[1].receive().failed
    served.fronts[1].close()
    served.fronts[2].hello()
    assert served.fronts[2].ask(target="/x").body == b"/x"
    served.end()
    again.join(10)
    assert [type(failure) for failure in served.failures] == [KeyboardInterrupt] * 2


def test_a_lane_that_breaks_is_closed_and_the_others_go_on():
    served = Served(echo, lanes=3, threads=3)
    served.fronts[1].peer.sendall(b"\xff" * 8)
    with pytest.raises(LaneClosed):
        served.fronts[1].read()
    assert served.lanes[1].fileno() == -1
    for front in (served.fronts[0], served.fronts[2]):
        assert front.ask(target="/x").body == b"/x"
    served.end()
    assert [type(failure) for failure in served.failures] == [RuntimeError]


@pytest.mark.parametrize("threads", [1, 4])
def test_stop_answers_what_was_sent_and_closes_each_lane(crew, threads):
    app = Held("/0")
    served = crew(app, lanes=4, threads=threads)
    served.fronts[0].send(target="/0")
    assert app.within.wait(10)
    for n in (1, 2):
        served.fronts[n].send(target=f"/{n}")
    for lane in served.lanes:
        lane.stop()
    app.go_on.set()
    for n in (0, 1, 2):
        assert served.fronts[n].receive().body == f"/{n}".encode()
    for front in served.fronts:
        with pytest.raises(LaneClosed):
            front.read()
    for thread in served.threads:
        thread.join(10)
        assert not thread.is_alive()


def test_stop_waits_for_the_answer_to_a_thread_that_a_view_has_left(crew):
    asked, closed, may_return = [], threading.Event(), threading.Event()

    class Body(list):
        def close(self):
            closed.set()

    def app(environ, start_response):
        client = environ["handclasp.client"]
        threading.Thread(target=lambda: asked.append(client.certificates)).start()
        assert may_return.wait(10)
        start_response("200 OK", PLAIN)
        return Body([b"x"])

    served = crew(app, lanes=1)
    front = served.fronts[0]
    front.send_cert(0, [])
    front.send_client(0, "alice")
    front.send(slot=0)
    front.question()
    may_return.set()
    assert closed.wait(10)  # the last that the view does
    served.lanes[0].stop()
    front.answer({"ok": True, "certificates": []})
    response = front.receive()
    assert (response.body, response.failed) == (b"x", False)
    with pytest.raises(LaneClosed):
        front.read()
    assert asked == [()]


def test_a_front_that_sends_no_more_has_its_answer(crew):
    served = crew(echo, lanes=2)
    front = served.fronts[0]
    front.send(target="/last")
    front.peer.shutdown(socket.SHUT_WR)
    assert front.receive().body == b"/last"
    with pytest.raises(LaneClosed):
        front.read()
    assert served.fronts[1].ask(target="/x").body == b"/x"


def test_a_lane_is_of_one_crew():
    served = Served(echo, lanes=1, threads=0)
    with pytest.raises(RuntimeError, match="being served"):
        Crew(served.lanes)
    with pytest.raises(TypeError, match="lanes"):
        Crew([object()])
    with pytest.raises(TypeError):
        Crew(1)
    served.crew = None
    other = Crew(served.lanes)
    served.lanes[0].close()
    other.serve()  # nothing is left to serve
    assert not Crew([]).serve()


def test_a_crew_that_its_application_holds_is_collected():
    class App:
        __call__ = staticmethod(echo)

    app = App()
    served = Served(app, lanes=2, threads=0)
    app.crew, gone = served.crew, weakref.ref(app)
    served.crew = served.lanes = None
    del app
    gc.collect()
    assert gone() is None
    for front in served.fronts:
        with pytest.raises(LaneClosed):
            front.read()


def test_a_child_that_a_view_leaves_behind_keeps_no_lane_open(crew):
    """It has the descriptors too, so closing them is not enough."""
    children = []

    def app(environ, start_response):
        children.append(os.fork())
        if children[-1] == 0:
            signal.pause()
            os._exit(0)
        return echo(environ, start_response)

    served = crew(app, lanes=2)
    try:
        assert served.fronts[0].ask(target="/x").body == b"/x"
        for lane in served.lanes:
            lane.stop()
        for front in served.fronts:
            with pytest.raises(LaneClosed):
                front.read()
    finally:
        os.kill(children[0], signal.SIGKILL)
        os.waitpid(children[0], 0)


def test_a_forked_child_has_no_lane_and_answers_nothing():
    """Even one that leaves its view, as sys.exit() does."""
    child_says, says = os.pipe()

    def app(environ, start_response):
        child = os.fork()
        if child == 0:
            os.write(says, repr([lane.fileno() for lane in served.lanes]).encode())
            sys.exit()
        os.waitpid(child, 0)
        return echo(environ, start_response)

    served = Served(app, lanes=2, threads=0)
    served.crew = None
    crew = make_crew(served.lanes)
    thread = threading.Thread(target=crew.serve)
    thread.start()
    front = served.fronts[0]
    front.hello()
    assert front.ask(target="/parent").body == b"/parent"
    assert os.read(child_says, 100) == b"[-1, -1]"
    assert front.ask(target="/again").body == b"/again"
    served.end()
    thread.join(10)
    assert not thread.is_alive()
    os.close(child_says)
    os.close(says)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_nothing_is_lost_in_a_storm(crew, threads):
    """Lanes that are asked at random, views that wait or not, clients that leave: each has its one answer."""
    chance = random.Random(threads)
    waits = [0, 0, 0, 0.0002, 0.002]

    def app(environ, start_response):
        delay = chance.choice(waits)
        if delay:
            time.sleep(delay)
        if environ["PATH_INFO"].endswith("0"):
            start_response("200 OK", PLAIN)
            return iter([environ["PATH_INFO"].encode(), b"!"])
        return echo(environ, start_response)

    served = crew(app, lanes=4, threads=threads)
    wrong = []

    def client(number: int) -> None:
        front, own = served.fronts[number], random.Random(number)
        try:
            for n in range(400):
                front.send(target=f"/{number}/{n}")
                if own.random() < 0.1:
                    front.cancel()
                response = front.receive()
                whole = f"/{number}/{n}".encode() + (b"!" if n % 10 == 0 else b"")
                if not whole.startswith(response.body) or response.failed:
                    wrong.append((number, n, response))
        except BaseException as problem:
            wrong.append((number, problem))

    clients = [threading.Thread(target=client, args=(n,)) for n in range(4)]
    for one in clients:
        one.start()
    for one in clients:
        one.join(60)
    assert not wrong
    assert not served.reports


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_nothing_is_lost_however_the_frames_are_cut(crew, threads, tmp_path):
    """Certificates, records and requests in pieces of any size, bodies by descriptor, questions, late CANCEL."""

    def app(environ, start_response):
        name, body = environ["handclasp.client"].name, environ["wsgi.input"].read()
        if environ["QUERY_STRING"] == "ask":
            assert environ["handclasp.client"].certificates == ()
        start_response("200 OK", PLAIN)
        return [name.encode(), body]

    served = crew(app, threads=threads)
    wrong = []

    def send_cut(front, octets, chance, fd=None):
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", fd))] if fd is not None else []
        while octets:
            size = chance.choice([1, 7, 8, 9, 100, 1000, 30_000, len(octets)])
            sent = front.peer.sendmsg([octets[:size]], rights)
            octets, rights = octets[sent:], []
            if chance.random() < 0.2:
                time.sleep(0.0005)

    def client(number):
        front, chance = served.fronts[number], random.Random(number)
        path = tmp_path / str(number)
        path.write_bytes(b"by file")
        try:
            with path.open("rb") as file:
                for n in range(150):
                    name, ask, late = f"{number}-{n}", chance.random() < 0.2, chance.random() < 0.2
                    send_cut(front, cert_frame(3, []) + client_frame(3, name), chance)
                    target = "/?ask" if ask else "/"
                    if chance.random() < 0.3:
                        body = b"by file"
                        octets = request_frame("POST", target, file_size=len(body), slot=3)
                        os.lseek(file.fileno(), 0, os.SEEK_SET)
                        send_cut(front, octets, chance, file.fileno())
                    else:
                        body = bytes(chance.choice([0, 10, 16_000, 200_000]))
                        send_cut(front, request_frame("POST", target, body=body, slot=3), chance)
                    if ask:
                        front.answer_next({"ok": True, "certificates": []})
                    response = front.receive()
                    if (response.body, response.failed) != (name.encode() + body, False):
                        wrong.append((name, len(body), response))
                    if late:
                        front.cancel()
        except BaseException as problem:
            wrong.append((number, problem))

    clients = [threading.Thread(target=client, args=(n,)) for n in range(4)]
    for one in clients:
        one.start()
    for one in clients:
        one.join(60)
    assert not wrong
    assert not served.reports


def test_a_frame_that_nobody_knows_is_refused():
    served = Served(echo, lanes=1, threads=1)
    served.fronts[0].peer.sendall(struct.pack("<IBBH", 0, 9, 0, 0))
    with pytest.raises(LaneClosed):
        served.fronts[0].read()
    served.end()
    assert len(served.failures) == 1
