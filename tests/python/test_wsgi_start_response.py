"""PEP 3333: start_response, write, and what else the application is given to call."""

import sys
import threading

import pytest
from lane_fixture import serve_fixture  # noqa: F401
from lane_peer import DATA, END, HEAD, request_frame
from wsgi_apps import PLAIN, Blocks, answer


def refused_by_start_response(serve, *arguments, **keywords):
    """What start_response raises; the response must be a failure without a head."""
    caught = []

    def app(environ, start_response):
        try:
            start_response(*arguments, **keywords)
        except BaseException as error:
            caught.append(error)
            raise

    front = serve(app, validate=False)
    response = front.ask()
    assert (response.frames, response.failed) == ([END], True)
    assert front.reports == caught
    return caught[0]


@pytest.mark.parametrize(
    "status",
    [b"200 OK", 200, None, "200OK", "20 OK", "", "2x0 OK", "200 O\r\nK", "200 \0", "200 ☃",
     "199 Early", "100 Continue", "600 Odd", "2000 OK", "²00 OK", "200\tOK"],
)  # fmt: skip
def test_a_status_that_is_none_is_refused(serve, status):
    error = refused_by_start_response(serve, status, [])
    assert isinstance(error, (TypeError, ValueError))


@pytest.mark.parametrize("status", ["200", "200 ", "404 Not Found At All", "299 \xe4"])
def test_a_status_may_lack_its_reason(serve, status):
    response = serve(answer(b"x", status=status), validate=False).ask()
    assert (response.status, response.reason) == (int(status[:3]), status[4:])


@pytest.mark.parametrize(
    "headers",
    [
        (("A", "b"),),
        None,
        {"A": "b"},
        iter([("A", "b")]),
        [["A", "b"]],
        ["Ab"],
        [("A",)],
        [("A", "b", "c")],
        [(b"A", "b")],
        [("A", b"b")],
        [("A", 1)],
        [("A", None)],
        [("", "b")],
        [("A B", "c")],
        [("A:", "c")],
        [("A\n", "c")],
        [("Ä", "c")],
        [("A", "b\r\nSet-Cookie: x")],
        [("A", "b\nc")],
        [("A", "b\rc")],
        [("A", "b\0c")],
        [("A", "b\x7f")],
        [("A", "☃")],
        [("Connection", "upgrade")],
        [("Transfer-Encoding", "chunked")],
        [("transfer-encoding", "identity")],
        [("TE", "trailers")],
        [("Trailer", "X")],
        [("Upgrade", "h2c")],
        [("Proxy-Authenticate", "Basic")],
        [("Proxy-Authorization", "Basic")],
        [("Content-Length", "-1")],
        [("Content-Length", "+1")],
        [("Content-Length", "1_0")],
        [("Content-Length", " 1")],
        [("Content-Length", "")],
        [("Content-Length", "9" * 30)],
        [("Content-Length", "1"), ("content-length", "2")],
        [("A", "b")] * 1000,
    ],
)
def test_headers_that_are_none_are_refused(serve, headers):
    error = refused_by_start_response(serve, "200 OK", headers)
    assert isinstance(error, (TypeError, ValueError))


def test_headers_that_are_unusual_and_allowed_are_sent(serve):
    headers = [("X!#$%&'*+-.^_`|~9", ""), ("Connection", "close"), ("T", "a\tb"), ("X", "1")]
    response = serve(answer(b"x", headers=headers), validate=False).ask()
    assert response.headers == [*headers, ("Content-Length", "1")]


def test_as_many_headers_as_there_is_room_for_are_sent(serve):
    headers = [("A", "b")] * 999
    response = serve(answer(b"x", headers=headers), validate=False).ask()
    assert response.headers == [*headers, ("Content-Length", "1")]


def test_headers_too_large_for_a_frame_are_a_failure(serve):
    front = serve(answer(b"x", headers=[("A", "b" * 2000000)]), validate=False)
    response = front.ask()
    assert (response.frames, response.failed) == ([END], True)
    assert isinstance(front.reports[0], ValueError)


@pytest.mark.parametrize("arguments", [(), ("200 OK",), ("200 OK", [], None, None)])
def test_start_response_takes_two_or_three_arguments(serve, arguments):
    assert isinstance(refused_by_start_response(serve, *arguments), TypeError)


@pytest.mark.parametrize("exc_info", [True, (), (1, 2), "abc", [1, 2, 3]])
def test_exc_info_must_be_one(serve, exc_info):
    assert isinstance(refused_by_start_response(serve, "200 OK", [], exc_info), TypeError)


def test_start_response_takes_exc_info_by_name_and_no_other(serve):
    def app(environ, start_response):
        start_response("200 OK", PLAIN, exc_info=None)
        return [b"x"]

    assert serve(app, validate=False).ask().status == 200
    assert isinstance(refused_by_start_response(serve, "200 OK", [], other=None), TypeError)


def test_headers_changed_after_start_response_are_sent_as_they_were(serve):
    def app(environ, start_response):
        headers = [("A", "before")]
        start_response("200 OK", headers)
        headers[0] = ("A", "after\r\nB: c")
        headers.append(("C", "d"))
        return [b"x"]

    response = serve(app, validate=False).ask()
    assert response.headers == [("A", "before"), ("Content-Length", "1")]


def test_calling_start_response_twice_without_exc_info_is_an_error(serve):
    def app(environ, start_response):
        start_response("200 OK", PLAIN)
        with pytest.raises(AssertionError, match="second time"):
            start_response("201 Created", PLAIN)
        return [b"x"]

    assert serve(app, validate=False).ask().status == 200


def test_exc_info_replaces_a_head_that_was_not_sent(serve):
    def app(environ, start_response):
        start_response("200 OK", [*PLAIN, ("Content-Length", "100")])
        try:
            raise ValueError
        except ValueError:
            start_response("500 Sorry", PLAIN[:], sys.exc_info())
        return [b"x"]

    response = serve(app, validate=False).ask()
    assert (response.status, response["Content-Length"]) == (500, "1")


def test_a_head_that_could_not_be_replaced_is_gone(serve):
    def app(environ, start_response):
        start_response("200 OK", [("A", "b" * 1000)])
        with pytest.raises(ValueError):
            start_response("500", [("B", "c"), ("A", "\n")], (ValueError, ValueError(), None))
        return [b"x"]

    front = serve(app, validate=False)
    assert front.ask().frames == [END]
    assert isinstance(front.reports[0], AssertionError)


def test_exc_info_after_the_head_was_sent_is_raised_again(serve):
    error = ValueError("original")

    def app(environ, start_response):
        start_response("200 OK", PLAIN[:])
        yield b"x"
        try:
            raise error
        except ValueError:
            start_response("500 Too Late", PLAIN[:], sys.exc_info())
        yield b"never"

    front = serve(app)
    response = front.ask()
    assert (response.status, response.body, response.failed) == (200, b"x", True)
    assert front.reports == [error]
    assert error.__traceback__ is not None


def test_what_the_application_kept_of_a_request_is_dead_after_it(serve):
    kept = []

    def app(environ, start_response):
        kept[:] = [start_response, start_response("200 OK", PLAIN), environ["handclasp.refuse"]]
        return [b"x"]

    front = serve(app, validate=False)
    front.ask()
    for call, arguments in zip(kept, [("200 OK", []), (b"x",), ("reason",)], strict=True):
        with pytest.raises(RuntimeError, match="after the response had ended"):
            call(*arguments)
    assert front.ask().body == b"x"


# write


def test_write_sends_before_the_iterable(serve):
    def app(environ, start_response):
        write = start_response("200 OK", PLAIN[:])
        write(b"a")
        write(b"")
        write(b"b")
        return [b"c"]

    response = serve(app).ask()
    assert (response.body, response.frames) == (b"abc", [HEAD, DATA, DATA, DATA, END])
    assert response.headers == PLAIN


def test_write_sends_at_once(serve):
    go_on = threading.Event()

    def app(environ, start_response):
        start_response("200 OK", PLAIN[:])(b"now")
        assert go_on.wait(10)
        return []

    front = serve(app)
    front.send()
    assert front.read()[0] == HEAD
    assert front.read()[:2] == (DATA, b"now")
    go_on.set()
    assert front.read()[0] == END


def test_write_takes_bytes_alone(serve):
    def app(environ, start_response):
        write = start_response("200 OK", PLAIN)
        with pytest.raises(TypeError, match="write takes bytes, not str"):
            write("text")
        return []

    assert serve(app, validate=False).ask().failed is False


def test_write_counts_towards_content_length(serve):
    def app(environ, start_response):
        start_response("200 OK", [*PLAIN, ("Content-Length", "3")])(b"ab")
        return [b"cd"]

    front = serve(app, validate=False)
    assert front.ask().body == b"abc"
    assert len(front.reports) == 1


def test_a_refusal_is_told_once_a_request(serve):
    def app(environ, start_response):
        refuse = environ["handclasp.refuse"]
        with pytest.raises(TypeError):
            refuse(5)
        refuse("reported stolen ☃")
        refuse("again")
        start_response("403 Forbidden", PLAIN[:])
        return [b"no"]

    front = serve(app)
    for _ in range(2):
        response = front.ask()
        assert (response.status, response.refused) == (403, [("refused-by-app", "reported stolen ☃")])


def test_a_refusal_is_told_with_its_verdict(serve):
    def app(environ, start_response):
        refuse = environ["handclasp.refuse"]
        with pytest.raises(TypeError):
            refuse("because", None)
        if environ["PATH_INFO"] == "/named":
            refuse(reason="because", verdict="no-certificate")
        else:
            refuse("because", "no-certificate")
        start_response("403 Forbidden", PLAIN[:])
        return [b"no"]

    front = serve(app)
    assert front.ask(target="/named").refused == [("no-certificate", "because")]
    assert front.ask().refused == [("no-certificate", "because")]


def test_a_refusal_in_no_unicode_is_told_all_the_same(serve):
    def app(environ, start_response):
        environ["handclasp.refuse"]("name \udcff", "\ud800")
        raise ValueError

    assert serve(app, validate=False).ask().refused == [("\\ud800", "name \\udcff")]


def test_a_long_reason_of_a_refusal_is_cut(serve):
    def app(environ, start_response):
        environ["handclasp.refuse"]("x" * 100000, "v" * 100000)
        raise ValueError

    response = serve(app, validate=False).ask()
    assert response.refused == [("v" * 64, "x" * 1024)]
    assert response.failed is True


def test_another_thread_may_not_write_while_the_lane_sends(serve):
    """The channel is the lane's thread's; the clash is an exception, not a broken frame."""
    writers = []
    in_iterable = threading.Event()

    def app(environ, start_response):
        writers.append(start_response("200 OK", PLAIN))
        in_iterable.set()
        return Blocks(bytes(3000000))

    front = serve(app, validate=False)
    front.send()
    assert front.read()[0] == HEAD
    with pytest.raises(RuntimeError, match="while another thread sends"):
        writers[0](b"x")
    assert len(front.receive_rest()) == 3000000


def writing(front_has_head, then):
    """An application whose own thread still writes three megabytes when it returns; the thread's failures."""
    failures = []

    def run(write):
        try:
            write(bytes(3000000))
        except Exception as failure:
            failures.append(failure)

    def app(environ, start_response):
        thread = threading.Thread(target=run, args=(start_response("200 OK", PLAIN[:]),))
        thread.start()
        assert front_has_head.wait(10)
        return then

    return app, failures


def test_a_response_ends_behind_what_another_thread_still_writes(serve):
    front_has_head = threading.Event()
    app, failures = writing(front_has_head, [])
    front = serve(app, validate=False)
    front.send()
    assert front.read()[0] == HEAD
    front_has_head.set()
    assert len(front.receive_rest()) == 3000000
    assert failures == []
    assert front.reports == []


def test_a_block_beside_what_another_thread_writes_fails_the_response_and_no_frame(serve):
    front_has_head = threading.Event()
    app, failures = writing(front_has_head, [b"block"])
    front = serve(app, validate=False)
    front.send()
    assert front.read()[0] == HEAD
    front_has_head.set()
    sizes, kind = 0, DATA
    while kind == DATA:
        kind, payload, _ = front.read()
        sizes += len(payload) if kind == DATA else 0
    assert (kind, payload, sizes) == (END, b"\1", 3000000)
    assert failures == []
    assert [str(report) for report in front.reports] == ["another thread sends on this lane"]


def test_requests_that_came_together_are_answered_in_order(serve):
    def app(environ, start_response):
        start_response("200 OK", PLAIN[:])
        return [environ["PATH_INFO"].encode()]

    front = serve(app)
    front.peer.sendall(request_frame(target="/a") + request_frame(target="/b"))
    assert front.receive().body == b"/a"
    assert front.receive().body == b"/b"
