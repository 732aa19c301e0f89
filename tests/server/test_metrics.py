"""/healthz and /metrics: what probes and scrapers, who hold no certificate, are told."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import ssl
import threading
import time

import cryptography.x509
import pytest
from conftest import HELLO, eventually

METRICS = {"metrics_bind": "127.0.0.1:0"}
SLOW = """
import time
def app(environ, start_response):
    time.sleep(float(environ["QUERY_STRING"] or 0))
    start_response("404 Not Found" if environ["PATH_INFO"] == "/no" else "200 OK", [])
    return [b"hello"]
"""


def address(program, running) -> tuple[str, int]:
    status = json.loads(program.run("status", "--state", running.state, "--json").stdout)
    (url,) = status["metrics"]
    host, port = re.fullmatch(r"http://\[?([0-9.:a-f]+?)\]?:(\d+)", url).groups()
    return host, int(port)


def get(where: tuple[str, int], path: str, method: str = "GET"):
    connection = http.client.HTTPConnection(*where, timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def scrape(where: tuple[str, int]) -> dict[str, float]:
    """Each sample by its name and labels; fails where the text is not the format of Prometheus."""
    status, headers, text = get(where, "/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert text.endswith("\n")
    samples: dict[str, float] = {}
    typed: dict[str, str] = {}
    for line in text.splitlines():
        if kind := re.fullmatch(r"# TYPE (\w+) (counter|gauge|histogram)", line):
            assert kind[1] not in typed
            typed[kind[1]] = kind[2]
        elif not re.fullmatch(r"# HELP (\w+) \S.*", line):
            found = re.fullmatch(r'(\w+)((?:\{\w+="[^"\\]*"\})?) ([0-9.]+)', line)
            assert found, line
            family = re.sub(r"_(bucket|sum|count)$", "", found[1])
            assert found[1] in typed or typed.get(family) == "histogram", line
            assert found[1] + found[2] not in samples, line
            samples[found[1] + found[2]] = float(found[3])
    return samples


@pytest.fixture
def measured(program, server, own_state):
    """`with measured(APP, …) as (running, where)`."""

    @contextlib.contextmanager
    def begin(*args, **options):
        with server(*args, **({"state": own_state} | METRICS | options)) as running:
            yield running, address(program, running)

    return begin


def test_handshakes_are_counted_full_and_resumed(measured):
    with measured() as (running, where):
        context = running.ssl_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        first = running.connection(context=context)
        assert running.request("/", over=first).status == 200  # by then the session is kept
        session = first.sock.session
        first.close()
        plain = socket.create_connection(("127.0.0.1", running.port))
        with context.wrap_socket(plain, server_hostname="localhost", session=session) as second:
            assert second.session_reused
        eventually(  # a client that resumes has the last word
            lambda: scrape(where)['handclasp_handshakes_total{resumed="true"}'] == 1, "it is counted"
        )
        samples = scrape(where)
        assert samples['handclasp_handshakes_total{resumed="false"}'] == 1
        assert samples["handclasp_sessions"] >= 1


def test_refusals_are_counted_by_verdict(measured, other_state):
    with measured() as (running, where):
        for client, state in [(None, None), ("alice", other_state), ("alice", other_state)]:
            context = running.ssl_context(client, state)
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            with pytest.raises((ssl.SSLError, ConnectionError)):
                running.connect(context=context)
        # The alert may be with the client before the refusal is counted.
        untrusted = 'handclasp_refusals_total{verdict="untrusted-issuer"}'
        absent = 'handclasp_refusals_total{verdict="no-certificate"}'
        eventually(lambda: scrape(where)[untrusted] + scrape(where)[absent] == 3, "all are counted")
        samples = scrape(where)
        assert samples[absent] == 1
        assert samples[untrusted] == 2
        assert samples['handclasp_refusals_total{verdict="expired"}'] == 0
        assert not any('verdict="ok"' in name for name in samples)
        assert samples['handclasp_handshakes_total{resumed="false"}'] == 0


def test_requests_are_counted_by_class_and_duration(measured):
    with measured(SLOW) as (running, where):
        with contextlib.closing(running.connection()) as kept:
            for path in ("/", "/", "/no", "/?0.3"):
                running.request(path, over=kept)
        eventually(lambda: scrape(where)['handclasp_requests_total{status="2xx"}'] == 3, "all are counted")
        samples = scrape(where)
        name = "handclasp_request_duration_seconds"
        assert samples['handclasp_requests_total{status="4xx"}'] == 1
        assert samples[name + "_count"] == samples[name + '_bucket{le="+Inf"}'] == 4
        assert samples[name + '_bucket{le="0.25"}'] == 3
        assert samples[name + '_bucket{le="10"}'] == 4
        assert 0.3 <= samples[name + "_sum"] < 5
        buckets = [value for key, value in samples.items() if key.startswith(name + "_bucket")]
        assert buckets == sorted(buckets)


def test_a_request_whose_client_left_is_counted_too(measured):
    with measured(SLOW) as (running, where):
        kept = running.connection()
        kept.request("GET", "/?0.5")
        eventually(lambda: scrape(where)["handclasp_worker_threads_busy"] == 1, "it runs")
        kept.close()
        eventually(lambda: scrape(where)['handclasp_requests_total{status="none"}'] == 1, "it is counted")


def test_gauges_say_what_is_open_busy_and_waiting(measured):
    with measured(SLOW, threads=2) as (running, where):
        threads = [threading.Thread(target=running.request, args=("/?0.7",), daemon=True) for _ in range(3)]
        for thread in threads:
            thread.start()
        # The gauges of one sample may be of different moments: the front's threads do not stand still for it.
        eventually(
            lambda: (samples := scrape(where))["handclasp_requests_waiting"] == 1
            and samples["handclasp_worker_threads_busy"] == 2,
            "two run and one waits",
        )
        samples = scrape(where)
        assert samples["handclasp_worker_threads"] == 2
        assert samples["handclasp_connections"] == 3
        assert samples["handclasp_workers"] == 1
        for thread in threads:
            thread.join(20)
        eventually(lambda: scrape(where)["handclasp_connections"] == 0, "all are closed")
        assert scrape(where)["handclasp_requests_waiting"] == 0


def test_the_ends_of_certificates_can_be_watched(measured, own_state, tmp_path):
    def end(name: str) -> float:
        pem = (own_state / name).read_bytes()
        return cryptography.x509.load_pem_x509_certificate(pem).not_valid_after_utc.timestamp()

    with measured() as (_, where):
        samples = scrape(where)
        name = "handclasp_certificate_not_after_timestamp_seconds"
        assert samples[name + '{kind="server"}'] == end("server/server.pem")
        assert samples[name + '{kind="ca"}'] == end("ca/ca.pem")
        assert name + '{kind="crl"}' not in samples


def test_no_sample_names_a_client(measured):
    with measured() as (running, where):
        assert running.request("/secret-path").status == 200
        text = get(where, "/metrics")[2]
        assert "alice" not in text
        assert "secret-path" not in text


# /healthz


def test_healthy_while_clients_can_be_served(measured):
    with measured() as (_, where):
        status, headers, text = get(where, "/healthz")
        assert (status, text) == (200, "ok\n")
        assert headers["Cache-Control"] == "no-store"


def test_unhealthy_while_no_worker_is_ready(measured, tmp_path):
    with measured() as (running, where):
        (worker,) = running.worker_pids()
        (tmp_path / "app.py").write_text("raise RuntimeError\n")
        os.kill(worker, signal.SIGKILL)
        eventually(lambda: get(where, "/healthz")[0] == 503, "it says so")
        assert get(where, "/healthz")[2] == "no worker is ready\n"
        assert scrape(where)["handclasp_workers"] == 0
        (tmp_path / "app.py").write_text(HELLO)
        eventually(lambda: get(where, "/healthz")[0] == 200, "a new worker makes it well")


def test_a_probe_is_answered_before_the_application_is_loaded(start, tmp_path, program, own_state):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = start("import time\ntime.sleep(2)\n" + HELLO, state=own_state, metrics_bind=f"127.0.0.1:{port}")

    def answer() -> int:
        try:
            return get(("127.0.0.1", port), "/healthz")[0]
        except OSError:
            return 0

    eventually(answer, "somebody answers")
    assert answer() == 503
    running.wait_for("listening on")
    eventually(lambda: answer() == 200, "it is well")
    assert running.stop() == 0


def test_unhealthy_once_the_server_is_told_to_end(measured):
    with measured(SLOW) as (running, where):
        kept = running.connection()
        kept.request("GET", "/?1.5")
        eventually(lambda: scrape(where)["handclasp_worker_threads_busy"] == 1, "it runs")
        running.send_signal(signal.SIGTERM)
        running.wait_for("told to end")
        eventually(lambda: get(where, "/healthz")[0] == 503, "it says so")
        assert get(where, "/healthz")[2] == "the server is ending\n"
        assert kept.getresponse().read() == b"hello"


def test_a_front_that_was_restarted_is_scraped_at_the_same_place(measured):
    with measured() as (running, where):
        os.kill(running.front_pid(), signal.SIGKILL)
        running.wait_for("serving again")
        assert get(where, "/healthz")[0] == 200


# what else may come


@pytest.mark.parametrize("bind", ["0.0.0.0:0", ":0", "unix:metrics.sock"])
def test_metrics_are_refused_to_other_machines(start, bind):
    refused = start(metrics_bind=bind)
    assert refused.wait() == 1
    assert any("--metrics-bind" in line and "loopback" in line for line in refused.log())


def test_metrics_are_served_on_ipv6_loopback(measured):
    with measured(metrics_bind="[::1]:0") as (_, where):
        assert where[0] == "::1"
        assert get(where, "/healthz")[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("HEAD", "/metrics", 200), ("POST", "/metrics", 405), ("GET", "/", 404), ("GET", "/metrics/", 404)],
)
def test_only_two_pages_can_be_read(measured, method, path, status):
    with measured() as (_, where):
        got, headers, text = get(where, path, method)
        assert got == status
        assert (text == "") == (method == "HEAD")
        if status == 405:
            assert headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "octets",
    [
        b"nonsense\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
    ],
)
def test_what_is_no_plain_request_is_refused_and_closed(measured, octets):
    with measured() as (_, where):
        with socket.create_connection(where, 10) as s:
            s.sendall(octets)
            s.shutdown(socket.SHUT_WR)
            answer = b""
            while piece := s.recv(4096):
                answer += piece
        assert not answer or re.match(rb"HTTP/1.1 4\d\d ", answer)
        assert get(where, "/healthz")[0] == 200


def test_visitors_who_say_nothing_are_closed_and_bounded(measured):
    with measured() as (_, where):
        idle = [socket.create_connection(where, 10) for _ in range(30)]
        began = time.monotonic()
        for one in idle:  # those past the bound at once, the others after their deadline
            with one:
                assert one.recv(1) == b""
        assert 3 < time.monotonic() - began < 9
        assert get(where, "/healthz")[0] == 200


def test_a_visitor_who_sends_his_request_slowly_is_answered_whole(measured):
    with measured() as (_, where), socket.create_connection(where, 10) as s:
        for octet in b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n":
            s.sendall(bytes([octet]))
        answer = b""
        while piece := s.recv(4096):
            answer += piece
        assert answer.endswith(b"\r\n\r\nok\n")


def test_without_the_option_nothing_is_served(program, server, own_state):
    with server(state=own_state):
        status = json.loads(program.run("status", "--state", own_state, "--json").stdout)
        assert status["metrics"] == []
