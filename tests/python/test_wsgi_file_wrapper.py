"""PEP 3333: wsgi.file_wrapper; plain files go to the front by their descriptor."""

import pytest
from lane_fixture import serve_fixture  # noqa: F401
from lane_peer import END, FILE, HEAD
from wsgi_apps import PLAIN


def sends_file(opened, headers=PLAIN, **options):
    def app(environ, start_response):
        start_response("200 OK", list(headers))
        return environ["wsgi.file_wrapper"](opened(), **options)

    return app


@pytest.fixture
def payload(tmp_path):
    path = tmp_path / "payload"
    path.write_bytes(b"0123456789" * 20000)
    return path


@pytest.mark.parametrize("buffering", [-1, 0])
def test_a_plain_file_is_given_to_the_front(serve, payload, buffering):
    opened = []

    def opener():
        opened.append(payload.open("rb", buffering=buffering))
        return opened[-1]

    response = serve(sends_file(opener), validate=False).ask()
    assert response.frames == [HEAD, FILE, END]
    assert response["Content-Length"] == "200000"
    assert response.body == payload.read_bytes()
    assert opened[0].closed


def test_a_file_is_sent_from_where_it_stands(serve, payload):
    def opener():
        file = payload.open("rb")
        file.read(5)  # the descriptor itself is further on: the file is buffered
        return file

    response = serve(sends_file(opener), validate=False).ask()
    assert response.frames == [HEAD, FILE, END]
    assert response.body == payload.read_bytes()[5:]


def test_a_file_is_sent_up_to_content_length(serve, payload):
    headers = [*PLAIN, ("Content-Length", "7")]
    front = serve(sends_file(lambda: payload.open("rb"), headers), validate=False)
    response = front.ask()
    assert (response.body, response.failed, front.reports) == (b"0123456", False, [])


def test_a_file_shorter_than_content_length_is_a_failure(serve, payload):
    headers = [*PLAIN, ("Content-Length", "200001")]
    front = serve(sends_file(lambda: payload.open("rb"), headers), validate=False)
    response = front.ask()
    assert (len(response.body), response.failed) == (200000, True)


def test_an_empty_file_is_an_empty_response(serve, tmp_path):
    (tmp_path / "empty").touch()
    response = serve(sends_file(lambda: (tmp_path / "empty").open("rb")), validate=False).ask()
    assert (response.frames, response["Content-Length"]) == ([HEAD, END], "0")


def test_head_of_a_file_has_its_length(serve, payload):
    response = serve(sends_file(lambda: payload.open("rb")), validate=False).ask("HEAD")
    assert (response.frames, response["Content-Length"]) == ([HEAD, END], "200000")


def test_a_file_after_write_is_read(serve, payload):
    def app(environ, start_response):
        start_response("200 OK", PLAIN)(b"before")
        return environ["wsgi.file_wrapper"](payload.open("rb"))

    response = serve(app, validate=False).ask()
    assert FILE not in response.frames
    assert response.body == b"before" + payload.read_bytes()


def test_a_file_whose_descriptor_holds_something_else_is_read(serve, tmp_path):
    import gzip

    path = tmp_path / "packed.gz"
    with gzip.open(path, "wb") as packed:
        packed.write(b"unpacked")
    response = serve(sends_file(lambda: gzip.open(path)), validate=False).ask()
    assert (FILE in response.frames, response.body) == (False, b"unpacked")


def test_what_is_no_file_is_read_in_blocks(serve):
    class Readable:
        sizes = []
        blocks = [b"a", b"b", b""]

        def read(self, size):
            self.sizes.append(size)
            return self.blocks.pop(0)

    response = serve(sends_file(Readable, blksize=77), validate=False).ask()
    assert (response.body, Readable.sizes) == (b"ab", [77, 77, 77])


def test_a_pipe_is_read(serve):
    import os

    def opener():
        reader, writer = os.pipe()
        os.write(writer, b"through a pipe")
        os.close(writer)
        return os.fdopen(reader, "rb")

    response = serve(sends_file(opener), validate=False).ask()
    assert (FILE in response.frames, response.body) == (False, b"through a pipe")


def test_a_file_that_is_closed_is_a_failure(serve, payload):
    def opener():
        file = payload.open("rb")
        file.close()
        return file

    front = serve(sends_file(opener), validate=False)
    assert front.ask().failed is True
    assert isinstance(front.reports[0], ValueError)


def test_a_wrapped_file_that_is_wrapped_again_is_read(serve, payload):
    def app(environ, start_response):
        start_response("200 OK", PLAIN[:])
        return environ["wsgi.file_wrapper"](payload.open("rb"))

    response = serve(app).ask()  # the validator puts an iterator of its own around it
    assert (FILE in response.frames, response.body) == (False, payload.read_bytes())


def test_file_wrapper_reads_its_file_by_itself(payload):
    from handclasp._core import FileWrapper

    with payload.open("rb") as file:
        wrapper = FileWrapper(file, 8)
        assert (wrapper.filelike, wrapper.blksize) == (file, 8)
        assert next(wrapper) == b"01234567"
        assert b"".join(wrapper) == payload.read_bytes()[8:]
        wrapper.close()
        assert file.closed
    FileWrapper(object()).close()
    for arguments in [(), (file, 0), (file, "x")]:
        with pytest.raises((TypeError, ValueError)):
            FileWrapper(*arguments)
    with pytest.raises(StopIteration):
        next(FileWrapper.__new__(FileWrapper))
