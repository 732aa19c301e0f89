"""HTTP/1.1 as a client that speaks it well sees it (RFC 9110, RFC 9112)."""

from __future__ import annotations

import datetime
import email.utils
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Server, running
from wire import Wire, chunked, request, send_and_end

APPS = Path(__file__).parent / "apps"


@pytest.fixture(scope="module")
def probe(program, state, tmp_path_factory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("probe")
    with running(program, state, folder, "probe:app", pythonpath=APPS, threads=2) as server:
        yield server


@pytest.fixture
def wire(probe) -> Iterator[Wire]:
    with Wire(probe) as one:
        yield one


# --- connections ---


def test_connection_is_kept_for_many_requests(wire):
    for turn in range(50):
        reply = wire.get(f"/kept-{turn}")
        assert reply.body == f"GET /kept-{turn}".encode()
        assert reply.header("Connection") is None


def test_pipelined_requests_are_answered_in_order(wire):
    wire.send(b"".join(request(f"/piped-{n}") for n in range(40)))
    assert [wire.response().body for _ in range(40)] == [f"GET /piped-{n}".encode() for n in range(40)]


def test_more_is_pipelined_than_is_read_ahead(wire):
    count, padding = 300, "X-Padding: " + "p" * 500
    wire.send(b"".join(request(f"/piped-{n}", padding) for n in range(count)))
    assert [wire.response().body for _ in range(count)] == [f"GET /piped-{n}".encode() for n in range(count)]


def test_pipelined_bodies_are_kept_apart(wire):
    bodies = [os.urandom(n * 1999) for n in range(20)]
    for n, body in enumerate(bodies):
        if n % 2:
            wire.send(request("/echo", "Transfer-Encoding: chunked", method="POST") + chunked(*filter(None, [body])))
        else:
            wire.send(request("/echo", f"Content-Length: {len(body)}", method="POST") + body)
    for body in bodies:
        assert wire.response().json()["sha256"] == hashlib.sha256(body).hexdigest()


def test_good_request_before_a_bad_one_is_answered_first(wire):
    wire.send(request("/good") + b"nonsense\r\n\r\n" + request("/after"))
    assert wire.response().body == b"GET /good"
    assert wire.response().status == 400
    assert wire.is_closed()


@pytest.mark.parametrize("value", ["close", "Close", "keep-alive, close"])
def test_client_that_asks_for_the_end_gets_it(wire, value):
    wire.send(request("/last", f"Connection: {value}") + request("/not-run"))
    reply = wire.response()
    assert reply.body == b"GET /last"
    assert reply.header("Connection") == "close"
    assert wire.is_closed()


def test_application_that_asks_for_the_end_gets_it(wire):
    reply = wire.get("/closing")
    assert (reply.body, reply.header("Connection")) == (b"bye", "close")
    assert wire.is_closed()


def test_client_that_ends_its_side_gets_its_response(probe):
    """close_notify says that no more is sent, not that nothing more is read (RFC 8446 section 6.1)."""
    answer = send_and_end(probe, request("/large?size=3000000&length"))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert len(body) == 3_000_000
    assert hashlib.sha256(body).hexdigest().encode() in head


def test_all_pipelined_requests_before_the_clients_end_are_answered(probe):
    answer = send_and_end(probe, b"".join(request(f"/ended-{n}") for n in range(30)))
    assert answer.count(b"HTTP/1.1 200 ") == 30
    assert b"GET /ended-29" in answer


def test_half_a_request_before_the_end_is_400(probe):
    assert send_and_end(probe, b"GET / HTTP/1.1\r\nHost: loc").startswith(b"HTTP/1.1 400 ")


def test_half_a_body_before_the_end_is_400_and_not_run(probe):
    octets = request("/cut-short", "Content-Length: 10", method="POST") + b"12345"
    assert send_and_end(probe, octets).startswith(b"HTTP/1.1 400 ")
    with Wire(probe) as wire:
        assert "/cut-short" not in wire.get("/ran").json()


# --- HTTP/1.0 ---


def test_http_1_0_is_answered_and_closed(wire):
    wire.send(request("/old", version="1.0"))
    reply = wire.response()
    assert (reply.status, reply.body, reply.header("Connection")) == (200, b"GET /old", "close")
    assert wire.is_closed()


def test_http_1_0_is_kept_where_it_asks(wire):
    for _ in range(3):
        wire.send(request("/old", "Connection: keep-alive", version="1.0"))
        reply = wire.response()
        assert (reply.body, reply.header("Connection")) == (b"GET /old", "keep-alive")


def test_http_1_0_gets_no_chunks_but_the_end_of_the_connection(wire):
    wire.send(request("/large?size=300000", "Connection: keep-alive", version="1.0"))
    reply = wire.response()
    assert reply.header("Transfer-Encoding") is None
    assert reply.header("Connection") == "close"
    assert hashlib.sha256(reply.body).hexdigest() == reply.header("X-SHA256")


def test_higher_minor_version_is_answered_as_1_1(wire):
    wire.send(request("/new", version="1.7"))
    assert wire.response().body == b"GET /new"


# --- bodies ---


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 300_000, 10_000_000])
def test_body_of_any_size_arrives_whole(wire, size):
    body = os.urandom(size)
    got = wire.post("/echo", body).json()
    assert (got["size"], got["sha256"]) == (size, hashlib.sha256(body).hexdigest())
    assert got["environ"]["CONTENT_LENGTH"] == str(size)


@pytest.mark.parametrize("piece", [1, 1000, 65536, 4_000_000])
def test_chunked_body_arrives_whole(wire, piece):
    body = os.urandom(min(piece * 300, 9_000_000))
    pieces = [body[at : at + piece] for at in range(0, len(body), piece)]
    wire.send(request("/echo", "Transfer-Encoding: chunked", method="POST") + chunked(*pieces))
    got = wire.response().json()
    assert (got["size"], got["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
    assert "HTTP_TRANSFER_ENCODING" not in got["environ"] or got["environ"]["CONTENT_LENGTH"] == str(len(body))


def test_large_body_comes_back_as_it_went(wire):
    body = os.urandom(10 << 20)
    assert wire.post("/mirror", body).body == body


def test_chunk_extensions_and_trailers_are_dropped(wire):
    wire.send(
        request("/echo", "Transfer-Encoding: chunked", "Trailer: X-Late", method="POST")
        + b'5;a=b;c="d"\r\nhello\r\n0;last\r\nX-Late: 1\r\nHost: other\r\nContent-Length: 3\r\n\r\n'
        + request("/behind")
    )
    got = wire.response().json()
    assert got["body"] == "hello"
    assert "HTTP_X_LATE" not in got["environ"]
    assert got["environ"]["HTTP_HOST"] == "localhost"
    assert wire.response().body == b"GET /behind"


def test_body_that_the_application_does_not_read_is_not_the_next_request(wire):
    wire.send(request("/early_end", "Content-Length: 200000", method="POST") + b"G" * 200000 + request("/next"))
    assert wire.response().body == b"did not read"
    assert wire.response().body == b"GET /next"


# --- 100-continue ---


def test_100_continue_is_sent_before_the_body(wire):
    wire.send(request("/echo", "Expect: 100-continue", "Content-Length: 5", method="POST"))
    interim = wire.response()
    assert (interim.status, interim.headers) == (100, [])
    wire.send(b"hello")
    assert wire.response().json()["body"] == "hello"
    assert wire.get("/next").status == 200


@pytest.mark.parametrize(
    ("headers", "version"),
    [
        (["Expect: 100-continue"], "1.1"),
        (["Expect: 100-continue", "Content-Length: 0"], "1.1"),
        (["Expect: 100-continue", "Content-Length: 2", "Host: localhost"], "1.0"),
    ],
)
def test_no_100_where_nothing_is_to_come_or_the_client_is_too_old(wire, headers, version):
    wire.send(request("/echo", *headers, method="POST", version=version) + b"ab" * ("Content-Length: 2" in headers))
    assert wire.response().status == 200


def test_too_large_a_body_is_refused_before_it_is_sent(wire):
    wire.send(request("/echo", "Expect: 100-continue", f"Content-Length: {1 << 40}", method="POST"))
    assert wire.response().status == 413
    assert wire.is_closed()


# --- methods and targets ---


def test_head_has_the_headers_of_get_and_no_body(wire):
    get = wire.get("/echo")
    head = wire.get("/echo", method="HEAD")
    assert head.status == 200
    assert head.body == b""
    assert head.header("Content-Type") == get.header("Content-Type")
    assert wire.get("/next").body == b"GET /next"


def test_head_of_a_large_response_says_its_length_and_sends_nothing(wire):
    head = wire.get("/large?size=5000000&length", method="HEAD")
    assert head.header("Content-Length") == "5000000"
    assert wire.get("/next").body == b"GET /next"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "M-SEARCH", "get"])
def test_any_method_reaches_the_application(wire, method):
    assert wire.get("/echo", method=method).json()["method"] == method


def test_absolute_target_wins_over_the_host_field(wire):
    got = wire.get("https://shop.example:8443/echo?a=b").json()["environ"]
    assert (got["PATH_INFO"], got["QUERY_STRING"]) == ("/echo", "a=b")
    assert got["HTTP_HOST"] == "shop.example:8443"
    assert wire.get("/next").status == 200


def test_options_star_reaches_the_application(wire):
    reply = wire.get("*", method="OPTIONS")
    assert reply.status == 200
    assert reply.body == b"OPTIONS *"


@pytest.mark.parametrize("host", ["localhost", "localhost:8443", "[::1]:8443", "127.0.0.1", "xn--nxasmq6b.example"])
def test_host_is_handed_on_as_it_came(wire, host):
    wire.send(f"GET /echo HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert wire.response().json()["environ"]["HTTP_HOST"] == host


def test_path_is_decoded_and_query_is_not(wire):
    got = wire.get("/echo/caf%C3%A9%20au%2Flait?q=%20%C3%A9&r").json()["environ"]
    assert got["PATH_INFO"] == "/echo/café au/lait".encode().decode("latin-1")
    assert got["QUERY_STRING"] == "q=%20%C3%A9&r"
    assert got["SCRIPT_NAME"] == ""


def test_headers_reach_the_application_once_each(wire):
    got = wire.get("/echo", "X-Twice: a", "X-Twice: b", "Cookie: a=1", "Cookie: b=2", "Accept: \xe9").json()["environ"]
    assert got["HTTP_X_TWICE"] in ("a,b", "a, b")
    assert got["HTTP_COOKIE"] == "a=1; b=2"
    assert got["HTTP_ACCEPT"] == "\xe9"


@pytest.mark.parametrize(
    "header",
    [
        "SSL-Client-Verify: SUCCESS",
        "SSL_CLIENT_S_DN_CN: root",
        "Ssl-Client-Cert: x",
        "Remote-User: root",
        "X_Under: 1",
        "X.Dot: 1",
        "Handclasp-Verdict: ok",
        "Proxy: http://evil",
    ],
)
def test_header_that_could_be_read_as_ours_is_dropped(wire, header):
    got = wire.get("/echo", header).json()["environ"]
    plain = wire.get("/echo").json()["environ"]
    assert set(got) == set(plain)
    assert {k: v for k, v in got.items() if "CLIENT" in k and "REMAIN" not in k} == {
        k: v for k, v in plain.items() if "CLIENT" in k and "REMAIN" not in k
    }


# --- response heads ---


def test_date_is_now(wire):
    when = email.utils.parsedate_to_datetime(wire.get("/").header("Date"))
    assert abs(datetime.datetime.now(datetime.UTC) - when) < datetime.timedelta(seconds=5)


def test_date_of_the_application_is_left_alone(wire):
    assert wire.get("/dated").header("Date") == "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.parametrize("code", [204, 304])
def test_responses_without_a_body_have_none_whatever_the_application_says(wire, code):
    reply = wire.get(f"/status?code={code}&body")
    assert (reply.status, reply.reason) == (code, "As Asked")
    assert reply.header("Transfer-Encoding") is None
    assert wire.get("/next").body == b"GET /next"


@pytest.mark.parametrize("code", [200, 201, 299, 301, 400, 404, 418, 500, 503, 599])
def test_status_is_sent_as_the_application_says(wire, code):
    reply = wire.get(f"/status?code={code}&body")
    assert (reply.status, reply.reason, reply.body) == (code, "As Asked", b"body")
    assert wire.get("/next").status == 200
