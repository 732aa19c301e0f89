"""PEP 3333 through the whole program: what an application does, and what its client then sees."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Server, eventually, running
from wire import Cut, Wire, chunked, request

APPS = Path(__file__).parent / "apps"


@pytest.fixture(scope="module")
def probe(program, state, tmp_path_factory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("probe")
    with running(program, state, folder, "probe:app", pythonpath=APPS, threads=1) as server:
        yield server


@pytest.fixture
def wire(probe) -> Iterator[Wire]:
    with Wire(probe) as one:
        yield one


def still_serves(server: Server) -> bool:
    with Wire(server) as wire:
        return wire.get("/").status == 200


# --- good applications ---


def test_write_and_the_returned_blocks_come_in_order(wire):
    assert wire.get("/writes").body == b"one two three"


def test_empty_response_is_one(wire):
    reply = wire.get("/nothing")
    assert (reply.status, reply.body) == (200, b"")
    assert wire.get("/").status == 200


def test_one_block_has_its_length(wire):
    assert wire.get("/").header("Content-Length") == "5"


def test_error_before_the_first_block_replaces_the_head(wire):
    reply = wire.get("/replaced")
    assert (reply.status, reply.reason, reply.header("X-Of"), reply.body) == (500, "Oh", "second", b"replaced")


def test_close_is_called_once_for_each_response(probe):
    with Wire(probe) as wire:
        for n in range(5):
            wire.get(f"/large?size=1000&name=counted-{n}")
        wire.get("/large?size=1000&name=counted-head", method="HEAD")
        wire.get("/")
    probe.wait_for("closed counted-", count=6)
    closed = [line for line in probe.log() if "closed counted-" in line]
    assert sorted(closed) == sorted([*(f"closed counted-{n}" for n in range(5)), "closed counted-head"])


# --- applications that fail ---


@pytest.mark.parametrize("view", ["raises", "raises_at_first", "no_head", "two_heads", "leave"])
def test_failure_before_the_head_is_a_500_that_keeps_the_connection(probe, wire, view):
    reply = wire.get(f"/{view}")
    assert reply.status == 500
    assert reply.header("Content-Type") == "application/problem+json"
    assert "Traceback" not in reply.body.decode()
    assert wire.get("/").status == 200
    probe.wait_for(f"no response from the application.*status=500.*path=/{view}")


def test_traceback_of_a_view_is_in_the_log_and_not_in_the_response(probe, wire):
    assert b"raised" not in wire.get("/raises").body
    probe.wait_for("ValueError: raised before the head")


def test_system_exit_in_a_view_ends_no_worker(probe, wire):
    before = wire.get("/who").body
    assert wire.get("/leave").status == 500
    assert wire.get("/who").body == before


@pytest.mark.parametrize("view", ["raises_late", "replaced_late"])
def test_failure_behind_the_head_cuts_the_response(probe, wire, view):
    """What is there of it must not look like the whole."""
    wire.send(request(f"/{view}") + request("/not-run-behind-it"))
    assert wire.head().status == 200
    with pytest.raises(Cut):
        wire.rest()
    probe.wait_for(f"the application's response is cut status=200 method=GET path=/{view}")
    assert still_serves(probe)


def test_close_is_called_when_the_iterable_raises(probe, wire):
    wire.get("/raises_at_first")
    probe.wait_for("closed raises_at_first")


def test_fewer_octets_than_promised_cut_the_connection(probe, wire):
    wire.send(request("/short"))
    assert wire.head().header("Content-Length") == "10"
    with pytest.raises(Cut):
        wire.rest()
    probe.wait_for("fewer octets than its Content-Length|sent less than its Content-Length")
    assert still_serves(probe)


def test_more_octets_than_promised_are_not_sent(wire):
    """They would be read as the next response."""
    assert wire.get("/long").body == b"long"
    assert wire.get("/next").body == b"GET /next"


def test_failed_http_1_0_response_does_not_end_in_good_order(wire):
    """Its end is the connection's, so only the missing close_notify says that it is broken."""
    wire.send(request("/raises_late", version="1.0"))
    assert wire.head().status == 200
    with pytest.raises(Cut):
        wire.rest()


# --- response splitting ---

INJECTED = [
    ("X-A", "b%0d%0aX-Injected: 1"),
    ("X-A", "b%0aX-Injected: 1"),
    ("X-A", "b%0d"),
    ("X-A", "b%00c"),
    ("X-A%0d%0aX-Injected", "1"),
    ("X A", "b"),
    ("", "b"),
    ("X-A:", "b"),
    ("X-A", "%E2%82%AC"),  # not Latin-1
    ("Transfer-Encoding", "chunked"),
    ("Connection", "upgrade"),
    ("Upgrade", "h2c"),
    ("Content-Length", "1, 1"),
    ("Content-Length", "-1"),
    ("Content-Length", "abc"),
]


@pytest.mark.parametrize(("name", "value"), INJECTED)
def test_header_that_would_break_the_response_is_a_500(probe, wire, name, value):
    reply = wire.get(f"/header?name={name.replace(' ', '%20')}&value={value.replace(' ', '%20')}")
    assert reply.status == 500
    assert reply.header("X-Injected") is None
    assert wire.get("/").status == 200


STATUSES = ["200", "OK", "99 Low", "600 High", "100 Continue", "200 O%0d%0aX-Injected:%201", "20 X"]


@pytest.mark.parametrize("text", STATUSES)
def test_status_that_is_none_is_a_500_or_has_the_standard_phrase(wire, text):
    reply = wire.get(f"/reason?text={text.replace(' ', '%20')}")
    assert reply.status == (200 if text == "200" else 500)
    assert reply.header("X-Injected") is None
    assert wire.get("/").status == 200


# --- files ---


@pytest.fixture
def made(tmp_path) -> Path:
    path = tmp_path / "made"
    path.write_bytes(os.urandom(3_000_000))
    return path


def test_file_is_sent_whole_with_its_length(wire, made):
    reply = wire.get(f"/file?file={made}")
    assert reply.body == made.read_bytes()
    assert reply.header("Content-Length") == "3000000"


def test_file_is_sent_from_where_it_stands(wire, made):
    reply = wire.get(f"/file?file={made}&offset=1234567")
    assert reply.body == made.read_bytes()[1234567:]


def test_file_is_sent_as_far_as_the_length_says(wire, made):
    reply = wire.get(f"/file?file={made}&offset=100&length=1000")
    assert reply.body == made.read_bytes()[100:1100]
    assert wire.get("/next").status == 200


def test_file_shorter_than_its_length_cuts_the_connection(wire, made):
    wire.send(request(f"/file?file={made}&length=3000001"))
    with pytest.raises(Cut):
        wire.head()
        wire.rest()


def test_head_of_a_file_sends_none_of_it(wire, made):
    assert wire.get(f"/file?file={made}&length=3000000", method="HEAD").header("Content-Length") == "3000000"
    assert wire.get("/next").body == b"GET /next"


def test_empty_file_and_the_end_of_one_are_empty(wire, made, tmp_path):
    (tmp_path / "empty").touch()
    assert wire.get(f"/file?file={tmp_path / 'empty'}").body == b""
    assert wire.get(f"/file?file={made}&offset=3000000").body == b""
    assert wire.get("/next").status == 200


@pytest.mark.parametrize(("view", "text"), [("not_a_file", b"from memory"), ("pipe", b"from a pipe")])
def test_wrapper_over_what_is_no_regular_file_is_read(wire, view, text):
    assert wire.get(f"/{view}").body == text


def test_file_that_shrinks_while_it_is_sent_cuts_the_connection(probe):
    with Wire(probe, receive_buffer=4096) as wire:
        wire.send(request("/growing"))
        name = wire.head().header("X-File")
        os.truncate(name, 1000)
        os.unlink(name)
        with pytest.raises(Cut):
            wire.rest()
    assert still_serves(probe)


def test_no_descriptor_is_left_behind(probe, made):
    """Neither in the front nor in the worker."""
    (worker,) = probe.worker_pids()

    def count(pid: int) -> int:
        return len(os.listdir(f"/proc/{pid}/fd"))

    def turn() -> None:
        with Wire(probe) as wire:
            wire.get(f"/file?file={made}")
            wire.get(f"/file?file={made}", method="HEAD")
            wire.post("/echo", b"x" * 200_000)
            wire.get("/large?size=2000000")
        with Wire(probe, receive_buffer=4096) as gone:
            gone.send(request(f"/file?file={made}"))
            gone.head()

    turn()
    before = count(worker), count(probe.front_pid())
    for _ in range(20):
        turn()
    # What the last clients left is closed when that was seen.
    eventually(lambda: count(worker) <= before[0], "the worker has no more open than before")
    eventually(lambda: count(probe.front_pid()) <= before[1], "nor has the front")


# --- other applications ---


def test_wsgiref_validate_finds_nothing(server):
    with server("validated:app", pythonpath=APPS) as running_server, Wire(running_server) as wire:
        assert wire.get("/a%20b?c=d").body == b"ab"
        assert wire.post("/", b"one\ntwo\nthree\nfour").body == b"one\n|two|\n|three\n|four"
        wire.send(request("/", "Transfer-Encoding: chunked", method="POST") + chunked(b"one\n", b"tw", b"o"))
        assert wire.response().body == b"one\n|two"
        assert wire.get("/", method="HEAD").status == 200
        assert not [line for line in running_server.log() if "Assertion" in line or "Traceback" in line]


@pytest.fixture(scope="module")
def flask_server(program, state, tmp_path_factory) -> Iterator[Server]:
    pytest.importorskip("flask")
    folder = tmp_path_factory.mktemp("flask")
    with running(program, state, folder, "flaskapp:app", pythonpath=APPS) as server:
        yield server


def test_flask_views_answer(flask_server, made):
    with Wire(flask_server) as wire:
        assert wire.get("/").body == b"hello"
        assert wire.get("/stream?word=w").body == b"w 0\nw 1\nw 2\n"
        assert wire.get(f"/file?path={made}").body == made.read_bytes()
        assert wire.get("/memory").body == b"m" * 100_000
        assert wire.get("/missing").status == 404
        assert wire.post("/json", b'{"a": 1}', "Content-Type: application/json").json() == {"a": 1}


def test_flask_range_of_a_file_is_sent(flask_server, made):
    with Wire(flask_server) as wire:
        reply = wire.get(f"/file?path={made}", "Range: bytes=1000-1999")
        assert reply.status == 206
        assert reply.body == made.read_bytes()[1000:2000]


def test_flask_upload_arrives(flask_server):
    part = os.urandom(500_000)
    body = (
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n'
        b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n' + part + b"\r\n--x--\r\n"
    )
    with Wire(flask_server) as wire:
        got = wire.post("/form", body, "Content-Type: multipart/form-data; boundary=x").json()
    assert got == {"form": {"a": "b"}, "files": {"f": 500_000}}


def test_flask_async_view_answers(flask_server):
    pytest.importorskip("asgiref")
    with Wire(flask_server) as wire:
        assert wire.get("/async").body == b"later"


def test_flask_view_that_fails_is_flasks_500(flask_server):
    with Wire(flask_server) as wire:
        assert wire.get("/fails").status == 500
        assert wire.get("/leaves").status == 500
        assert wire.get("/").status == 200
    flask_server.wait_for("ZeroDivisionError")


def test_django_answers(server):
    pytest.importorskip("django")
    with server("djangoapp:app", pythonpath=APPS) as running_server, Wire(running_server) as wire:
        assert wire.get("/").body == b"hello alice"
        assert wire.post("/facts", b"posted").json() == {"secure": True, "body": "posted", "host": "localhost"}
        assert wire.get("/stream").body == b"0\n1\n2\n"
        assert wire.get("/no-such").status == 404


def test_client_of_the_standard_library_and_its_tls_agree(probe):
    """A plain client, as people write it."""
    import urllib.request

    context = probe.ssl_context()
    assert context.verify_mode == ssl.CERT_REQUIRED
    with urllib.request.urlopen(f"{probe.url}/plain", context=context) as got:
        assert got.read() == b"GET /plain"
