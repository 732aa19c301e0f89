"""The client's record in environ, and what a view asks about it over its lane."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest
from lane_fixture import serve_fixture  # noqa: F401
from lane_peer import ANSWER, ASK, DATA, END, HEAD, LaneClosed, frame
from wsgi_apps import PLAIN

from handclasp.client import Client, RegistryRefused, RegistryUnavailable

SHA = "ab" * 32
ROW = {
    "serial": "0aff",
    "fingerprint_sha256": SHA,
    "subject": "CN=alice",
    "issuer": "CN=ca",
    "sans": ["email:alice@example.com"],
    "not_before": "2026-01-01T00:00:00Z",
    "not_after": "2026-04-01T00:00:00Z",
    "status": "active",
    "revoked_at": None,
    "reason": None,
    "first_seen": "2026-01-02T00:00:00Z",
    "last_seen": None,
    "origin": "issue",
    "current": True,
}


class Seen:
    """An application that keeps each request's client, and does something with it."""

    def __init__(self, do=lambda client: None):
        self.clients = []
        self.environs = []
        self.results = []
        self.do = do

    def __call__(self, environ, start_response):
        client = environ["handclasp.client"]
        self.clients.append(client)
        self.environs.append(environ)
        try:
            self.results.append(self.do(client))
        except Exception as problem:
            self.results.append(problem)
        start_response("200 OK", PLAIN)
        return [b"done"]


def known(front, slot=1, name="alice", roles="meter reader", attributes='{"room":7}'):
    front.send_cert(slot, [])
    front.send_client(slot, name, roles, attributes)


def test_the_record_is_in_environ_and_one_object_for_all_requests(serve):
    app = Seen()
    front = serve(app)
    known(front)
    for _ in range(3):
        front.ask(slot=1, remote_user="alice")
    first, second, third = app.clients
    assert first == Client("alice", ["meter", "reader"], {"room": 7})
    assert first is second is third
    assert (app.environs[0]["REMOTE_USER"], app.environs[0]["AUTH_TYPE"]) == (
        "alice",
        "CLIENT_CERT",
    )


def test_a_changed_record_is_another_object_from_the_next_request_on(serve):
    app = Seen()
    front = serve(app)
    known(front)
    front.ask(slot=1)
    front.send_client(1, "alice", "", "")
    front.ask(slot=1)
    front.send_client(1, known=False)
    front.ask(slot=1)
    assert app.clients[0].roles == {"meter", "reader"}
    assert (app.clients[1].roles, app.clients[1].attributes) == (frozenset(), {})
    assert app.clients[2] is None


def test_a_new_certificate_in_a_slot_is_nobodys(serve):
    app = Seen()
    front = serve(app)
    known(front)
    front.ask(slot=1)
    front.send_cert(1, [])
    front.ask(slot=1)
    front.ask()
    assert app.clients[1:] == [None, None]


def test_each_slot_has_its_own_client(serve):
    app = Seen()
    front = serve(app)
    known(front, 1, "alice")
    known(front, 2, "böb")
    front.send_server([])  # makes the prototypes again
    front.ask(slot=1)
    front.ask(slot=2)
    assert [client.name for client in app.clients] == ["alice", "böb"]


@pytest.mark.parametrize("before", [False, True])
def test_a_client_that_makes_no_sense_ends_the_lane(serve, before):
    front = serve(Seen())
    if before:
        front.send_cert(1, [])
        front.send_client(1, b"\xff")
    else:
        front.send_client(1, "alice")
    with pytest.raises(LaneClosed):
        front.read()
    assert isinstance(front.ended_with(), (RuntimeError, UnicodeDecodeError))


# --- questions ----------------------------------------------------------------------------------


def test_a_view_asks_for_its_certificates(serve):
    app = Seen(lambda client: client.certificates)
    front = serve(app)
    known(front)
    front.send(slot=1)
    assert front.question() == {"do": "certificates"}
    unseen = {**ROW, "serial": "1", "fingerprint_sha256": None, "current": False}
    revoked = {
        **unseen,
        "status": "revoked",
        "reason": "superseded",
        "revoked_at": ROW["not_after"],
    }
    front.answer({"ok": True, "certificates": [ROW, unseen, revoked]})
    assert front.receive().body == b"done"
    ((mine, other, gone),) = app.results
    assert (mine.serial, mine.serial_hex, mine.fingerprint_sha256) == (0xAFF, "aff", SHA)
    assert (mine.subject, mine.issuer, mine.sans) == ("CN=alice", "CN=ca", (ROW["sans"][0],))
    assert mine.not_before == datetime(2026, 1, 1, tzinfo=UTC)
    assert mine.not_after == datetime(2026, 4, 1, tzinfo=UTC)
    assert (mine.first_seen, mine.last_seen) == (datetime(2026, 1, 2, tzinfo=UTC), None)
    assert (mine.status, mine.revoked_at, mine.reason, mine.origin) == (
        "active",
        None,
        None,
        "issue",
    )
    assert (mine.current, other.current, other.fingerprint_sha256) == (True, False, None)
    assert (gone.status, gone.reason, gone.revoked_at) == ("revoked", "superseded", mine.not_after)


@pytest.mark.parametrize(
    ("do", "question"),
    [
        (lambda c: c.suspend(), {"do": "suspend", "reason": ""}),
        (lambda c: c.suspend("løst"), {"do": "suspend", "reason": "løst"}),
        (
            lambda c: c.revoke(SHA.upper(), "keyCompromise"),
            {"do": "revoke", "certificate": SHA, "reason": "keyCompromise"},
        ),
        (
            lambda c: c.revoke(":".join(["ab"] * 32)),
            {"do": "revoke", "certificate": SHA, "reason": "unspecified"},
        ),
    ],
)
def test_a_view_suspends_and_revokes(serve, do, question):
    app = Seen(do)
    front = serve(app)
    known(front)
    front.send(slot=1)
    assert front.answer_next({"ok": True}) == question
    assert front.receive().body == b"done"
    assert app.results == [None]


def test_several_questions_may_be_asked_one_after_the_other(serve):
    app = Seen(lambda client: [client.suspend(str(n)) for n in range(3)])
    front = serve(app)
    known(front)
    front.send(slot=1)
    assert [front.answer_next({"ok": True})["reason"] for _ in range(3)] == ["0", "1", "2"]
    assert front.receive().body == b"done"


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        ({"ok": False, "code": "unavailable", "error": "no one"}, RegistryUnavailable, "no one"),
        ({"ok": False, "code": "not-found", "error": "not yours"}, RegistryRefused, "not yours"),
        ({"ok": False, "code": "refused", "error": "no"}, RegistryRefused, "no"),
        ({"ok": False, "code": "invalid", "error": "what?"}, RegistryRefused, "what?"),
        ({"ok": False, "code": "of tomorrow", "error": "no"}, RegistryUnavailable, "no"),
        ({"ok": 1}, RegistryUnavailable, "no sense"),
        ({}, RegistryUnavailable, "no sense"),
        ([], RegistryUnavailable, "no sense"),
        (b"", RegistryUnavailable, "no sense"),
        (b"\xff", RegistryUnavailable, "no sense"),
        ({"ok": True}, RegistryUnavailable, "no sense"),
        ({"ok": True, "certificates": [{}]}, RegistryUnavailable, "no sense"),
        ({"ok": True, "certificates": [{**ROW, "serial": "x"}]}, RegistryUnavailable, "no sense"),
    ],
)
def test_what_the_registry_does_not_do_is_an_exception_that_says_why(serve, answer, kind, text):
    app = Seen(lambda client: client.certificates)
    front = serve(app)
    known(front)
    front.send(slot=1)
    front.answer_next(answer)
    assert front.receive().body == b"done"
    (problem,) = app.results
    assert type(problem) is kind
    assert text in str(problem)
    assert getattr(problem, "code", None) == (answer["code"] if kind is RegistryRefused else None)


@pytest.mark.parametrize(
    "do",
    [
        lambda client: client.revoke("ab"),
        lambda client: client.revoke("zz" * 32),
        lambda client: client.revoke(SHA, "removeFromCRL"),
        lambda client: client.revoke(SHA, "lost"),
        lambda client: client.suspend("x" * 20000),
    ],
)
def test_a_wrong_argument_asks_nothing(serve, do):
    app = Seen(do)
    front = serve(app)
    known(front)
    assert front.ask(slot=1).frames == [HEAD, DATA, END]
    assert isinstance(app.results[0], ValueError)


def test_a_question_comes_after_what_was_written_before_it(serve):
    def app(environ, start_response):
        write = start_response("200 OK", PLAIN)
        write(b"before")
        environ["handclasp.client"].suspend()
        return [b" after"]

    front = serve(app, validate=False)
    known(front)
    front.send(slot=1)
    assert [front.read()[0] for _ in range(3)] == [HEAD, DATA, ASK]
    front.answer({"ok": True})
    assert front.receive_rest() == b" after"


def test_a_stream_may_ask_between_its_blocks(serve):
    def app(environ, start_response):
        start_response("200 OK", PLAIN)
        for n in range(3):
            environ["handclasp.client"].suspend(str(n))
            yield str(n).encode()

    front = serve(app)
    known(front)
    front.send(slot=1)
    for _ in range(3):
        kind = front.read()[0]
        while kind != ASK:
            kind = front.read()[0]
        front.answer({"ok": True})
    assert front.receive_rest().endswith(b"2")


# --- who may ask, and when ----------------------------------------------------------------------


def test_a_client_that_was_kept_asks_no_more_when_its_request_is_over(serve):
    app = Seen()
    front = serve(app)
    known(front)
    front.ask(slot=1)
    with pytest.raises(RuntimeError, match="request of this client is over"):
        app.clients[0].suspend()
    assert front.ask(slot=1).body == b"done"  # nothing of it went out


def test_a_client_that_was_kept_asks_nothing_within_another_clients_request(serve):
    kept = []

    def do(client):
        kept.append(client)
        return kept[0].suspend() if len(kept) > 1 else None

    app = Seen(do)
    front = serve(app)
    known(front, 1, "alice")
    known(front, 2, "bob")
    front.ask(slot=1)
    assert front.ask(slot=2).frames == [HEAD, DATA, END]
    assert isinstance(app.results[1], RuntimeError)
    front.send_client(1, "alice", "another record")
    front.ask(slot=1)
    assert isinstance(app.results[2], RuntimeError)


def test_a_client_on_another_lane_is_not_asked_about(serve):
    app = Seen()
    first, second = serve(app), serve(app)
    known(first)
    first.ask(slot=1)
    kept = app.clients[0]
    app.do = lambda client: kept.suspend()
    known(second)
    second.ask(slot=1)
    assert isinstance(app.results[1], RuntimeError)


def in_thread(work):
    """What `work` gives or raises, in a thread that is waited for."""
    out = []

    def run():
        try:
            out.append(work())
        except BaseException as problem:
            out.append(problem)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    if isinstance(out[0], BaseException):
        raise out[0]
    return out[0]


def test_a_thread_that_the_view_waits_for_may_ask(serve):
    app = Seen(lambda client: in_thread(lambda: client.certificates))
    front = serve(app)
    known(front)
    front.send(slot=1)
    front.answer_next({"ok": True, "certificates": []})
    assert front.receive().body == b"done"
    assert app.results == [()]


def test_threads_that_ask_at_once_are_answered_one_after_the_other(serve):
    def do(client):
        threads = [threading.Thread(target=client.suspend, args=(str(n),)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)

    app = Seen(do)
    front = serve(app)
    known(front)
    front.send(slot=1)
    asked = {front.answer_next({"ok": True})["reason"] for _ in range(8)}
    assert asked == set("01234567")
    assert front.receive().frames == [HEAD, DATA, END]


def test_end_waits_for_the_answer_of_a_thread_that_nobody_waited_for(serve):
    threads = []
    problems = []

    def ask_twice(client, asked):
        try:
            asked.set()
            client.suspend("first")
            client.suspend("second")
        except RuntimeError as problem:
            problems.append(problem)

    def do(client):
        asked = threading.Event()
        threads.append(threading.Thread(target=ask_twice, args=(client, asked)))
        threads[0].start()
        asked.wait(10)
        while not front_has_it.wait(10):
            pass

    front_has_it = threading.Event()
    app = Seen(do)
    front = serve(app, validate=False)
    known(front)
    front.send(slot=1)
    assert front.question()["reason"] == "first"
    front_has_it.set()
    front.peer.settimeout(0.2)
    with pytest.raises(TimeoutError):
        front.read()  # neither END nor a second question
    front.peer.settimeout(10)
    front.answer({"ok": True})
    assert front.receive().frames == [HEAD, DATA, END]
    threads[0].join(10)
    assert len(problems) == 1
    assert front.ask(slot=1, target="/again").failed is False


def test_other_threads_run_while_one_waits_for_an_answer(serve):
    other = serve(Seen())
    front = serve(Seen(lambda client: client.suspend()))
    known(front)
    front.send(slot=1)
    front.question()
    assert other.ask().body == b"done"
    front.answer({"ok": True})
    assert front.receive().body == b"done"


# --- when things end ----------------------------------------------------------------------------


def test_a_client_that_goes_while_an_answer_is_waited_for_is_remembered(serve):
    closed = []

    def app(environ, start_response):
        start_response("200 OK", PLAIN)
        environ["handclasp.client"].suspend()
        try:
            while True:
                yield b"x"
        finally:
            closed.append(True)

    front = serve(app)
    known(front)
    front.send(slot=1)
    front.question()
    front.cancel()
    front.answer({"ok": True})
    assert front.receive().failed is False
    assert closed == [True]


def test_a_front_that_goes_while_an_answer_is_waited_for_is_unavailable(serve):
    app = Seen(lambda client: client.suspend())
    front = serve(app)
    known(front)
    front.send(slot=1)
    front.question()
    assert front.end() is None
    assert isinstance(app.results[0], RegistryUnavailable)


@pytest.mark.parametrize("octets", [frame(ANSWER, b"{}", 1), frame(1, b""), b"\xff" * 8])
def test_a_front_that_breaks_the_protocol_instead_of_an_answer_ends_the_lane(serve, octets):
    app = Seen(lambda client: client.suspend())
    front = serve(app)
    known(front)
    front.send(slot=1)
    front.question()
    front.peer.sendall(octets)
    with pytest.raises(LaneClosed):
        front.receive()
    front.ended_with()
    assert isinstance(app.results[0], RuntimeError)


def test_an_answer_that_nobody_asked_for_ends_the_lane(serve):
    front = serve(Seen())
    front.answer({"ok": True})
    with pytest.raises(LaneClosed):
        front.read()
    assert isinstance(front.ended_with(), RuntimeError)


def test_a_lane_that_is_to_stop_lets_its_view_have_the_answer(serve):
    app = Seen(lambda client: client.suspend())
    front = serve(app)
    known(front)
    front.send(slot=1)
    front.question()
    front.lane.stop()
    front.answer({"ok": True})
    assert front.receive().body == b"done"
    assert app.results == [None]
    with pytest.raises((BrokenPipeError, LaneClosed)):
        front.send(slot=1)
        front.read()
    assert front.end() is None
