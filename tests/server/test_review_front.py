"""What a client could gain, hide or hold up: each of these was possible once."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest
from conftest import eventually
from wire import Wire, request, send_and_end

APPS = Path(__file__).parent / "apps"


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# --- holding up others ---


@contextlib.contextmanager
def flooding(wire: Wire, octets: bytes):
    """Sends without an end, and reads and drops what comes back."""
    stop = threading.Event()

    def send() -> None:
        with contextlib.suppress(OSError):
            while not stop.is_set():
                wire.socket.sendall(octets)

    def receive() -> None:
        with contextlib.suppress(OSError):
            while wire.socket.recv(1 << 16):
                pass

    threads = [threading.Thread(target=run) for run in (send, receive)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        wire.socket.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()


def slowest(server, count: int) -> float:
    took = []
    with Wire(server) as wire:
        for _ in range(count):
            began = time.monotonic()
            assert wire.get().status == 200
            took.append(time.monotonic() - began)
    return max(took)


def test_pipeline_of_refused_requests_does_not_hold_up_others(server):
    with server(front_threads=1, refuse_with="http") as running:
        with Wire(running, client=None) as wire, flooding(wire, request() * 2000):
            assert slowest(running, 50) < 1


def test_upload_as_fast_as_it_goes_does_not_hold_up_others(server):
    with server(front_threads=1) as running, Wire(running) as wire:
        wire.send(request("/", f"Content-Length: {1 << 30}", method="POST"))
        with flooding(wire, bytes(1 << 20)):
            assert slowest(running, 50) < 1


@pytest.fixture
def libssl() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libssl.so.3")
    except OSError:
        pytest.skip("no libssl.so.3")
    for name in ("TLS_client_method", "SSL_CTX_new", "SSL_new"):
        getattr(library, name).restype = ctypes.c_void_p
    return library


def test_key_updates_of_a_client_that_does_not_read_cost_no_time(server, libssl):
    with server(front_threads=1) as running, socket.socket() as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        plain.connect(("127.0.0.1", running.port))
        context = ctypes.c_void_p(libssl.SSL_CTX_new(ctypes.c_void_p(libssl.TLS_client_method())))
        clients = running.state / "clients"
        assert libssl.SSL_CTX_use_certificate_chain_file(context, str(clients / "alice.pem").encode()) == 1
        assert libssl.SSL_CTX_use_PrivateKey_file(context, str(clients / "alice.key").encode(), 1) == 1
        tls = ctypes.c_void_p(libssl.SSL_new(context))
        assert libssl.SSL_set_fd(tls, plain.fileno()) == 1
        assert libssl.SSL_connect(tls) == 1
        plain.setblocking(False)
        while libssl.SSL_key_update(tls, 1) == 1 and libssl.SSL_do_handshake(tls) == 1:
            pass  # until neither side takes any more
        pid = running.front_pid()
        before = cpu_seconds(pid)
        time.sleep(1)
        assert cpu_seconds(pid) - before < 0.3
        assert running.request().status == 200


def test_pipelined_requests_before_a_close_notify_are_all_answered(server):
    with server() as running:
        assert send_and_end(running, request() * 5).count(b"HTTP/1.1 200 OK") == 5


def test_request_that_came_with_the_order_to_stop_is_answered(server):
    with server() as running, Wire(running) as wire:
        assert wire.get().status == 200
        front = running.front_pid()
        os.kill(front, signal.SIGSTOP)
        try:
            running.send_signal(signal.SIGTERM)
            wire.send(request())
            running.wait_for("told to end")
        finally:
            os.kill(front, signal.SIGCONT)
        assert wire.response().status == 200


def test_rule_for_the_root_covers_the_asterisk_form(server):
    options = {"client_cert": ["none", "/=required"]}
    with server("probe:app", pythonpath=APPS, **options) as running, Wire(running, client=None) as wire:
        wire.send(b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert wire.response().status == 403


# --- logs ---


@pytest.mark.parametrize("log_format", [None, "json"])
def test_long_headers_do_not_keep_a_request_out_of_the_access_log(server, log_format):
    options = {"access_logfile": "-"} | ({"access_logformat": log_format} if log_format else {})
    long = b"\xff" * 8150
    octets = b"GET /%b HTTP/1.1\r\nHost: localhost\r\n" % (b"a" * 8000)
    octets += b"Referer: " + long + b"\r\nUser-Agent: " + long + b"\r\n\r\n"
    with server("probe:app", pythonpath=APPS, **options) as running, Wire(running) as wire:
        wire.send(octets)
        wire.response()
        running.wait_for_output("/aaaa")
        assert wire.get("/next").status
        running.wait_for_output("/next")


def test_reload_may_turn_resumption_off(server, own_state):
    folder = own_state.parent
    (folder / "handclasp.yaml").write_text("session-cache: 100\n")
    with server(state=own_state, front_threads=1, config=folder / "handclasp.yaml") as running:
        context = running.ssl_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with running.connect(context=context) as first:
            session = first.session
        (folder / "handclasp.yaml").write_text("session-cache: 0\n")
        running.send_signal(signal.SIGHUP)
        running.wait_for("the new configuration is in force")

        def resumes() -> bool:
            with socket.create_connection(("127.0.0.1", running.port)) as plain:
                with context.wrap_socket(plain, server_hostname="localhost", session=session) as again:
                    return bool(again.session_reused)

        eventually(lambda: not resumes(), "no session is resumed")


def test_refusal_in_http_1_0_says_that_the_connection_stays(server):
    with server(refuse_with="http") as running, Wire(running, client=None) as wire:
        wire.send(request("/", "Connection: keep-alive", version="1.0"))
        reply = wire.response()
        assert reply.status == 403
        assert reply.header("Connection") == "keep-alive"
        assert wire.get().status == 403
