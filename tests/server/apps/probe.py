"""A bare WSGI application that says what reached it and does what the path asks for."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import sys
import tempfile
import threading
import time
from urllib.parse import parse_qs

ran: list[str] = []  # every path that reached the application, but for /ran
big = os.urandom(1 << 20) * 4


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Body:
    """An iterable of blocks that says in the log when it is closed."""

    def __init__(self, blocks, name: str) -> None:
        self.blocks = iter(blocks)
        self.name = name

    def __iter__(self):
        return self

    def __next__(self) -> bytes:
        return next(self.blocks)

    def close(self) -> None:
        say(f"closed {self.name}")


def facts(environ: dict) -> dict:
    return {key: value for key, value in environ.items() if isinstance(value, str)}


def wait_for(path: str) -> None:
    """Until the test opens the other end of the fifo."""
    with open(path, "rb") as fifo:
        fifo.read()


def echo(environ, start_response, query):
    body = environ["wsgi.input"].read()
    out = {"method": environ["REQUEST_METHOD"], "size": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    if len(body) < 1000:
        out["body"] = body.decode("latin-1")
    return plain(start_response, json.dumps(out | {"environ": facts(environ)}).encode())


def plain(start_response, body: bytes, *headers: tuple[str, str]):
    start_response("200 OK", [("Content-Type", "text/plain"), *headers])
    return [body]


def mirror(environ, start_response, query):
    """The body as it came, without a length, in blocks."""
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return iter(lambda: environ["wsgi.input"].read(65536), b"")


def stream(environ, start_response, query):
    """Two blocks, the second one made when the test says so."""

    def blocks():
        yield b"first"
        wait_for(query["fifo"][0])
        yield b"second"

    start_response("200 OK", [("Content-Type", "text/plain")])
    return Body(blocks(), query["name"][0])


def endless(environ, start_response, query):
    size = int(query.get("size", ["1000"])[0])
    pause_s = float(query.get("pause", ["0"])[0])

    def blocks():
        while True:
            yield b"x" * size
            time.sleep(pause_s)

    start_response("200 OK", [("Content-Type", "text/plain")])
    return Body(blocks(), query["name"][0])


def large(environ, start_response, query):
    """A large response of the size asked for, with its length or without."""
    size = int(query["size"][0])
    blocks = [big[: min(len(big), size - at)] for at in range(0, size, len(big))]
    headers = [("Content-Length", str(size))] if "length" in query else []
    start_response("200 OK", [("X-SHA256", hashlib.sha256(b"".join(blocks)).hexdigest()), *headers])
    return Body(blocks, query.get("name", ["large"])[0])


def file(environ, start_response, query):
    """By wsgi.file_wrapper, from an offset on, with a length of its own or without."""
    opened = open(query["file"][0], "rb")  # noqa: SIM115 - the wrapper closes it
    opened.seek(int(query.get("offset", ["0"])[0]))
    headers = [("Content-Type", "application/octet-stream")]
    if "length" in query:
        headers.append(("Content-Length", query["length"][0]))
    start_response("200 OK", headers)
    return environ["wsgi.file_wrapper"](opened, 8192)


def not_a_file(environ, start_response, query):
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](io.BytesIO(b"from memory"))


def pipe(environ, start_response, query):
    """A file_wrapper over a pipe: it has a descriptor, which cannot be sent by offset."""
    reader, writer = os.pipe()
    os.write(writer, b"from a pipe")
    os.close(writer)
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](os.fdopen(reader, "rb"))


def growing(environ, start_response, query):
    """A file that is truncated behind the server's back."""
    with tempfile.NamedTemporaryFile(delete=False) as made:
        made.write(b"z" * (32 << 20))
    start_response("200 OK", [("X-File", made.name)])
    return environ["wsgi.file_wrapper"](open(made.name, "rb"))  # noqa: SIM115


def hold(environ, start_response, query):
    """Answers when the test says so."""
    say(f"holding {query['name'][0]}")
    wait_for(query["fifo"][0])
    return plain(start_response, b"held")


def hang(environ, start_response, query):
    say("hanging")
    threading.Event().wait()


def die(environ, start_response, query):
    os.kill(os.getpid(), 9)


def leave(environ, start_response, query):
    sys.exit(3)


def raises(environ, start_response, query):
    raise ValueError("raised before the head")


def raises_late(environ, start_response, query):
    def blocks():
        yield b"begun"
        raise ValueError("raised behind the head")

    start_response("200 OK", [])
    return Body(blocks(), "raises_late")


def raises_at_first(environ, start_response, query):
    def blocks():
        raise ValueError("raised before the first block")
        yield b""

    start_response("200 OK", [])
    return Body(blocks(), "raises_at_first")


def replaced(environ, start_response, query):
    """An error after start_response, but before anything was sent."""
    start_response("200 OK", [("X-Of", "first")])
    try:
        raise ValueError("replaced")
    except ValueError:
        start_response("500 Oh", [("X-Of", "second")], sys.exc_info())
    return [b"replaced"]


def replaced_late(environ, start_response, query):
    write = start_response("200 OK", [])
    write(b"sent already")
    try:
        raise ValueError("cannot be replaced any more")
    except ValueError:
        start_response("500 Oh", [], sys.exc_info())
    return [b"never"]


def writes(environ, start_response, query):
    write = start_response("200 OK", [])
    write(b"one ")
    write(b"two ")
    return [b"three"]


def short(environ, start_response, query):
    start_response("200 OK", [("Content-Length", "10")])
    return [b"short"]


def long(environ, start_response, query):
    start_response("200 OK", [("Content-Length", "4")])
    return [b"longer ", b"than said"]


def two_heads(environ, start_response, query):
    start_response("200 OK", [])
    start_response("200 OK", [])
    return []


def no_head(environ, start_response, query):
    return [b"body alone"]


def nothing(environ, start_response, query):
    start_response("200 OK", [])
    return []


def status(environ, start_response, query):
    code = query["code"][0]
    start_response(f"{code} As Asked", [("X-Of", "status")])
    return [b"body"] if "body" in query else []


def header(environ, start_response, query):
    start_response("200 OK", [(query["name"][0], query["value"][0])])
    return [b"never seen"]


def reason(environ, start_response, query):
    start_response(query["text"][0], [])
    return [b"never seen"]


def closing(environ, start_response, query):
    return plain(start_response, b"bye", ("Connection", "close"))


def dated(environ, start_response, query):
    return plain(start_response, b"old", ("Date", "Sun, 06 Nov 1994 08:49:37 GMT"))


def early_end(environ, start_response, query):
    """Answers without a look at the body."""
    return plain(start_response, b"did not read")


def who(environ, start_response, query):
    return plain(start_response, str(os.getpid()).encode())


def app(environ, start_response):
    path = environ["PATH_INFO"]
    query = parse_qs(environ["QUERY_STRING"], keep_blank_values=True)
    if path == "/ran":
        return plain(start_response, json.dumps(ran).encode())
    ran.append(path)
    view = path.strip("/").split("/")[0]
    called = globals().get(view) if view in VIEWS else None
    if called:
        return called(environ, start_response, query)
    with contextlib.suppress(KeyError):
        environ["wsgi.input"].read()
    return plain(start_response, f"{environ['REQUEST_METHOD']} {path}".encode())


VIEWS = {
    "echo", "mirror", "stream", "endless", "large", "file", "not_a_file", "pipe", "growing", "hold", "hang", "die",
    "leave", "raises", "raises_late", "raises_at_first", "replaced", "replaced_late", "writes", "short", "long",
    "two_heads", "no_head", "nothing", "status", "header", "reason", "closing", "dated", "early_end", "who",
}  # fmt: skip
