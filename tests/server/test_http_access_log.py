"""The access log: gunicorn's atoms, JSON, and values from clients that would like to be lines of their own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
from pathlib import Path

import pytest
from wire import Wire, request

APPS = Path(__file__).parent / "apps"


def test_usual_line_is_the_combined_format_with_serial_and_verdict(server):
    with server("probe:app", pythonpath=APPS, access_logfile="-") as running:
        with Wire(running) as wire:
            wire.get("/some/path?a=b", "User-Agent: test/1", "Referer: https://localhost/from")
        line = running.wait_for_output("/some/path")
    assert re.fullmatch(
        r'127\.0\.0\.1 - \S+ \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "GET /some/path\?a=b HTTP/1\.1" 200 14 '
        r'"https://localhost/from" "test/1" [0-9a-f]{40} ok',
        line,
    ), line


ATOMS = {
    "%(h)s": r"127\.0\.0\.1",
    "%(l)s": "-",
    "%(m)s": "POST",
    "%(U)s": "/echo",
    "%(q)s": "a=b",
    "%(H)s": r"HTTP/1\.1",
    "%(s)s": "200",
    "%(b)s": r"\d+",
    "%(B)s": r"\d+",
    "%(f)s": "-",
    "%(a)s": "test/1",
    "%(T)s": "0",
    "%(M)s": r"\d+",
    "%(D)s": r"\d+",
    "%(L)s": r"0\.\d+",
    "%(p)s": r"<[1-9]\d*>",
    "%(v)s": "ok",
    "%(c)s": ".*alice.*",
    "%(n)s": "[0-9a-f]+",
    "%({x-own}i)s": "own value",
    "%({x-none}i)s": "-",
    "100%%": "100%",
}


def test_each_atom_says_what_it_does_in_gunicorn(server):
    with server("probe:app", pythonpath=APPS, access_logfile="-", access_logformat="\t".join(ATOMS)) as running:
        with Wire(running) as wire:
            wire.post("/echo?a=b", b"body", "User-Agent: test/1", "X-Own: own value")
        got = running.wait_for_output("/echo").split("\t")
    assert len(got) == len(ATOMS)
    for (atom, pattern), value in zip(ATOMS.items(), got, strict=True):
        assert re.fullmatch(pattern, value), (atom, value)


HOSTILE = '" 200 1 "-" "-"\tforged \x1b[31m \x80\xff \\'


def test_hostile_values_stay_within_their_quotes(server):
    with server("probe:app", pythonpath=APPS, access_logfile="-") as running:
        with Wire(running) as wire:
            wire.get("/%0d%0aforged%22?x=%0a%22", f"User-Agent: {HOSTILE.replace(chr(27), '')}")
        line = running.wait_for_output("forged")
        assert len(running.output()) == 1
    assert line.count('"') - line.count('\\"') - line.count("\\x22") <= 6 + line.count("\\x22")
    assert re.fullmatch(r'(?:[^"]|\\")*"GET (?:[^"\\]|\\.)*" 200 \d+ "-" "(?:[^"\\]|\\.)*" [0-9a-f]+ ok', line), line
    assert "\t" not in line
    line.encode("ascii")  # nothing of the octets above 127 is raw


def test_json_lines_are_objects_whatever_the_values(server):
    with server("probe:app", pythonpath=APPS, access_logfile="-", access_logformat="json") as running:
        with Wire(running) as wire:
            wire.get("/some%0apath?a=%22", f"User-Agent: {HOSTILE.replace(chr(27), '')}")
            wire.get("/status?code=404", method="HEAD")
        running.wait_for_output(".", count=2)
        first, second = map(json.loads, running.output())
    assert first["method"] == "GET"
    assert first["path"] == "/some%0apath"
    assert first["query"] == "a=%22"
    assert first["status"] == 200
    assert first["address"] == "127.0.0.1"
    assert first["verdict"] == "ok"
    assert "alice" in first["client"]
    assert first["tls"].startswith("TLSv1.")
    assert (second["method"], second["status"], second["bytes"]) == ("HEAD", 404, 0)


def test_request_that_could_not_be_read_has_a_line_too(server):
    with server("probe:app", pythonpath=APPS, access_logfile="-") as running:
        with Wire(running) as wire:
            wire.send(b"nonsense\r\n\r\n")
            assert wire.response().status == 400
        line = running.wait_for_output(" 400 ")
    assert '"-" 400' in line


def test_client_that_left_has_a_line_too(server):
    with server("probe:app", pythonpath=APPS, access_logfile="-") as running:
        with Wire(running) as wire:
            wire.send(request("/endless?name=gone&pause=0.001"))
            wire.head()
            wire.chunk()
        assert "/endless" in running.wait_for_output("/endless")


def test_log_file_is_appended_to(server, tmp_path):
    log = tmp_path / "access.log"
    log.write_text("before\n")
    with server("probe:app", pythonpath=APPS, access_logfile=log) as running, Wire(running) as wire:
        for n in range(3):
            wire.get(f"/line-{n}")
    lines = log.read_text().splitlines()
    assert lines[0] == "before"
    assert [line.split()[6] for line in lines[1:]] == [f"/line-{n}" for n in range(3)]


def test_bytes_are_those_of_the_body_as_the_application_made_it(server):
    options = {"access_logfile": "-", "access_logformat": "%(U)s %(B)s"}
    with server("probe:app", pythonpath=APPS, **options) as running:
        with Wire(running) as wire:
            wire.get("/large?size=123456")
        assert running.wait_for_output("/large") == "/large 123456"


@pytest.mark.parametrize("text", ["%(h", "%h", "%()s", "%(h)d"])
def test_format_that_is_none_is_refused_at_the_start(start, text):
    starting = start("probe:app", pythonpath=APPS, access_logfile="-", access_logformat=text)
    assert starting.wait() != 0
    assert "--access-logformat" in "\n".join(starting.log())


def test_long_lines_of_many_threads_stay_whole(server):
    """Longer than what a pipe takes in one piece."""
    with server("probe:app", pythonpath=APPS, access_logfile="-", front_threads=4, threads=4) as running:
        context = running.ssl_context()

        def run(number: int) -> None:
            with Wire(running, context=context) as wire:
                for _ in range(40):
                    wire.get(f"/{number}-" + str(number % 10) * 7000)

        threads = [threading.Thread(target=run, args=(n,)) for n in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        running.wait_for_output(".", count=480)
        lines = running.output()
    assert len(lines) == 480
    usual = r'127\.0\.0\.1 - \S+ \[[^]]*\] "GET /\d+-(\d)\1{6999} HTTP/1\.1" 200 \d+ "-" "-" [0-9a-f]+ ok'
    for line in lines:
        assert re.fullmatch(usual, line)


def test_log_that_nobody_reads_holds_nobody_up(server, tmp_path):
    fifo = tmp_path / "log"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    lines = b""

    def read() -> int:
        nonlocal lines
        before = len(lines)
        with contextlib.suppress(BlockingIOError):
            while octets := os.read(reader, 65536):
                lines += octets
        return len(lines) - before

    with server("probe:app", pythonpath=APPS, access_logfile=fifo) as running:
        with Wire(running) as wire:
            for n in range(30):
                assert wire.get(f"/{n}-" + "x" * 7000, "User-Agent: " + "y" * 3000).status == 200
            running.wait_for("WARNING front the access log takes no more: lines are lost until it does")
            assert read() > 40000
            wire.get("/last")
            running.wait_for(r"WARNING front the access log takes lines again, \d+ were lost")
            wire.get("/behind-it")
    read()
    os.close(reader)
    paths = [re.search(rb'"GET (/\S*) HTTP/1.1" 200 ', line)[1] for line in lines.splitlines()]
    written = [int(path[1:].split(b"-")[0]) for path in paths[:-2]]
    assert written == sorted(set(written))
    assert all(len(path) > 7000 for path in paths[:-2])
    assert paths[-2:] == [b"/last", b"/behind-it"]
    assert len(written) < 30
