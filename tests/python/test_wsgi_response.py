"""PEP 3333: the body of a response, its blocks and its length."""

import select
import threading
from pathlib import Path

import pytest
from lane_fixture import serve_fixture  # noqa: F401
from lane_peer import DATA, END, HEAD
from wsgi_apps import PLAIN, Blocks, answer, fail


def test_status_headers_and_body_come_as_the_application_gave_them(serve):
    front = serve(answer(b"a", b"b", headers=[("Content-Type", "x/y"), ("X-A", "1"), ("x-a", "ä")]))
    response = front.ask()
    assert (response.status, response.reason) == (200, "OK")
    assert response.headers == [("Content-Type", "x/y"), ("X-A", "1"), ("x-a", "ä")]
    assert (response.body, response.failed) == (b"ab", False)


def test_a_lane_answers_one_request_after_another(serve):
    count = iter(range(1000))

    def app(environ, start_response):
        start_response("200 OK", PLAIN[:])
        return [str(next(count)).encode()]

    front = serve(app)
    assert [front.ask().body for _ in range(300)] == [str(n).encode() for n in range(300)]


def test_a_thread_that_waits_is_not_woken_when_its_response_is_read(serve):
    front = serve(answer(b"hello"))
    status = Path(f"/proc/self/task/{front.thread.native_id}/status")

    def sleeps() -> str:
        """How often it has gone to sleep, once it sleeps."""
        while True:
            lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
            if "S" in lines["State"]:
                return lines["voluntary_ctxt_switches"]

    woken = 0
    for _ in range(20):
        front.send()
        assert select.select([front.peer], [], [], 10)[0]
        before = sleeps()
        front.receive()
        woken += sleeps() != before
    assert woken < 5, "of 20; a few may have been seen on their way to sleep"


@pytest.mark.parametrize("blocks", [(b"hello",), (b"",)])
def test_a_list_of_one_block_gets_its_length(serve, blocks):
    response = serve(answer(*blocks), validate=False).ask()
    assert response["Content-Length"] == str(len(blocks[0]))


def test_a_response_without_blocks_gets_the_length_zero(serve):
    response = serve(answer()).ask()
    assert response["Content-Length"] == "0"
    assert response.frames == [HEAD, END]


def test_a_list_of_several_blocks_gets_no_length(serve):
    response = serve(answer(b"a", b"b")).ask()
    assert [n for n, _ in response.headers] == ["Content-Type"]


def test_a_length_of_the_applications_own_is_kept(serve):
    response = serve(answer(b"hello", headers=[*PLAIN, ("content-length", "5")])).ask()
    assert response["Content-Length"] == "5"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_a_status_without_body_gets_no_length_and_no_octets(serve, status):
    response = serve(answer(b"x", headers=[], status=status), validate=False).ask()
    assert (response.headers, response.body, response.failed) == ([], b"", False)


def test_head_gets_the_head_alone(serve):
    front = serve(answer(b"hello"), validate=False)
    response = front.ask("HEAD")
    assert response["Content-Length"] == "5"
    assert response.frames == [HEAD, END]


def test_head_with_an_empty_body_does_not_claim_the_length_zero(serve):
    assert serve(answer(), validate=False).ask("HEAD").headers == PLAIN
    assert serve(answer(b""), validate=False).ask("HEAD").headers == PLAIN


def test_head_does_not_run_an_endless_iterable(serve):
    def app(environ, start_response):
        start_response("200 OK", PLAIN[:])
        while True:
            yield b"x"

    response = serve(app).ask("HEAD")
    assert (response.frames, response.failed) == ([HEAD, END], False)


def test_empty_blocks_are_not_sent(serve):
    response = serve(answer(b"", b"a", b"", b"b")).ask()
    assert response.frames == [HEAD, DATA, DATA, END]


def test_a_generator_may_call_start_response_when_it_is_first_asked(serve):
    def app(environ, start_response):
        start_response("202 Accepted", PLAIN[:])
        yield b"late"

    response = serve(app).ask()
    assert (response.status, response.body) == (202, b"late")


def test_headers_are_held_until_the_first_block_that_is_not_empty(serve):
    def app(environ, start_response):
        start_response("200 OK", PLAIN)
        yield b""
        start_response("500 Replaced", PLAIN, (ValueError, ValueError(), None))
        yield b"body"

    assert serve(app, validate=False).ask().status == 500


def test_each_block_is_sent_before_the_next_is_asked_for(serve):
    go_on = threading.Event()

    def app(environ, start_response):
        start_response("200 OK", PLAIN[:])
        yield b"first"
        assert go_on.wait(10)
        yield b"second"

    front = serve(app)
    front.send()
    assert front.read()[0] == HEAD
    assert front.read()[:2] == (DATA, b"first")
    go_on.set()
    assert front.receive_rest() == b"second"


def test_a_slow_close_does_not_delay_the_response(serve):
    go_on = threading.Event()
    blocks = Blocks(b"all of it", close=lambda: go_on.wait(10))

    def app(environ, start_response):
        start_response("200 OK", PLAIN)
        return blocks

    front = serve(app, validate=False)
    front.send()
    assert front.read()[0] == HEAD
    assert front.read()[:2] == (DATA, b"all of it")
    assert not go_on.is_set()
    go_on.set()
    assert front.read()[0] == END


def test_a_large_body_arrives_whole(serve):
    body = bytes(range(256)) * 40000
    response = serve(answer(body)).ask()
    assert response.body == body
    assert response.frames.count(DATA) == -(-len(body) // 65536)


def test_many_small_blocks_of_a_list_arrive_whole(serve):
    blocks = [str(n).encode() for n in range(30000)]
    assert serve(answer(*blocks)).ask().body == b"".join(blocks)


def test_a_tuple_and_a_generator_are_as_good_as_a_list(serve):
    def app(environ, start_response):
        start_response("200 OK", PLAIN[:])
        if environ["PATH_INFO"] == "/tuple":
            return (b"a", b"b")
        return (b for b in (b"a", b"b"))

    front = serve(app)
    assert front.ask(target="/tuple").body == front.ask(target="/other").body == b"ab"


def test_an_application_may_be_any_callable_and_bytes_may_be_of_a_subclass(serve):
    class Octets(bytes):
        pass

    class App:
        def __call__(self, environ, start_response):
            start_response("200 OK", PLAIN)
            return [Octets(b"x")]

    assert serve(App(), validate=False).ask().body == b"x"


# Content-Length


def test_octets_past_content_length_are_cut_and_logged(serve):
    front = serve(answer(b"hello world", headers=[*PLAIN, ("Content-Length", "5")]), validate=False)
    response = front.ask()
    assert (response.body, response.failed) == (b"hello", False)
    assert front.reports == [
        "the response was cut: it had more octets than its Content-Length says"
    ]


def test_blocks_past_content_length_are_not_asked_for(serve):
    blocks = Blocks(b"hello", b"!", fail(AssertionError("asked for")))

    def app(environ, start_response):
        start_response("200 OK", [*PLAIN, ("Content-Length", "5")])
        return blocks

    front = serve(app, validate=False)
    assert front.ask().body == b"hello"
    assert blocks.closed == 1
    assert len(front.reports) == 1


def test_a_generator_runs_to_its_end_when_content_length_is_reached(serve):
    ran = []

    def app(environ, start_response):
        start_response("200 OK", [*PLAIN, ("Content-Length", "5")])
        yield b"hello"
        ran.append(True)

    front = serve(app)
    assert front.ask().failed is False
    assert ran == [True]


@pytest.mark.parametrize("blocks", [(), (b"hell",), (b"he", b"ll")])
def test_fewer_octets_than_content_length_are_a_failure(serve, blocks):
    front = serve(answer(*blocks, headers=[*PLAIN, ("Content-Length", "5")]), validate=False)
    response = front.ask()
    assert response.failed is True
    assert front.reports == ["the response has fewer octets than its Content-Length says"]


def test_head_may_have_any_content_length(serve):
    front = serve(answer(headers=[*PLAIN, ("Content-Length", "5")]))
    assert front.ask("HEAD").failed is False
    assert front.reports == []
