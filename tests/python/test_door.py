"""handclasp._door: a certificate and a record are looked up in the process that asks, and nothing is left behind."""

from __future__ import annotations

import base64
import contextlib
import gc
import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from flask import Flask
from test_forwarded import Ca

from handclasp import _door
from handclasp.flask import RegistryUnavailable, client_required, current_client
from handclasp.forwarded import ForwardedClientCertificate

ROOT = Path(__file__).parents[2]
WITHIN_S = 20.0


class Records:
    """A registry of the program's own schema, written by somebody else."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = sqlite3.connect(path, isolation_level=None)
        for sql in sorted((ROOT / "src/registry/schema").glob("*.sql")):
            self.file.executescript(f"BEGIN;{sql.read_text()}COMMIT;")
        self.file.executescript("PRAGMA application_id = 0x48434c52; PRAGMA user_version = 1")
        self.file.execute("PRAGMA journal_mode = TRUNCATE")

    def add(self, name: str, cert: x509.Certificate, roles: str = "", *, serial_alone: bool = False) -> None:
        issuer = hashlib.sha256(cert.issuer.public_bytes()).digest()
        sha256 = hashlib.sha256(der(cert)).digest()
        with self.change(name):
            self.file.execute("INSERT INTO client VALUES (NULL, ?, 1, 0, '', ?, '{\"room\":7}', 0)", (name, roles))
            self.file.execute(
                "INSERT INTO certificate SELECT NULL, max(id), ?, ?, ?, x'', NULL, 1, 0, -1, ?, 0, 0, 0, 0, 0, 0"
                " FROM client",
                (issuer, f"{cert.serial_number:x}", None if serial_alone else sha256, 5 if serial_alone else 4),
            )

    def set_status(self, name: str, status: int) -> None:
        with self.change(name):
            self.file.execute("UPDATE client SET status = ? WHERE name = ?", (status, name))

    @contextlib.contextmanager
    def change(self, name: str) -> Iterator[None]:
        self.file.execute("BEGIN IMMEDIATE")
        yield
        self.file.execute(
            "INSERT INTO audit (at_ms, who, action, client_id, client_name, certificate_id, certificate, was, now)"
            " SELECT 0, 'test', 'client.change', id, name, 0, '', '', '' FROM client WHERE name = ?",
            (name,),
        )
        self.file.execute("COMMIT")


def der(cert: x509.Certificate) -> bytes:
    return cert.public_bytes(serialization.Encoding.DER)


def pem(cert: x509.Certificate) -> bytes:
    return cert.public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="module")
def ca() -> Ca:
    return Ca("Shop CA")


@pytest.fixture(scope="module")
def alice(ca: Ca) -> x509.Certificate:
    return ca.issue("alice")


@pytest.fixture
def records(tmp_path: Path, alice: x509.Certificate) -> Iterator[Records]:
    records = Records(tmp_path / "registry.db")
    records.add("alice", alice, "meter reader")
    yield records
    records.file.close()


def door_of(ca: Ca, records: Records | None = None, **options: object) -> _door.Door:
    if records is not None:
        options = {"registry": "sqlite:registry.db", "base": str(records.path.parent), **options}
    return _door.Door([("ca.pem", pem(ca.cert))], [], **options)  # type: ignore[arg-type]


def until(seen: Callable[[], bool]) -> None:
    end = time.monotonic() + WITHIN_S
    while not seen():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_the_record_is_found_and_a_change_follows(ca: Ca, alice: x509.Certificate, records: Records) -> None:
    door = door_of(ca, records)
    caller = door.caller(der(alice), ())
    answer = door.check(caller)
    assert (answer[0], answer[4], answer[6]) == ("ok", "SUCCESS", ("alice", "meter reader", '{"room":7}'))
    assert door.check(caller) is answer  # nothing is looked up where nothing has changed
    records.set_status("alice", 2)
    until(lambda: door.check(caller)[0] == "suspended")
    assert door.check(caller)[6] is None
    records.set_status("alice", 1)
    until(lambda: door.check(caller)[0] == "ok")


def test_who_is_unknown_comes_in_where_that_is_wished(ca: Ca, records: Records) -> None:
    stranger = der(ca.issue("stranger"))
    refusing, admitting = door_of(ca, records), door_of(ca, records, admit_unknown=True)
    assert refusing.check(refusing.caller(stranger, ()))[0] == "not-in-registry"
    assert admitting.check(admitting.caller(stranger, ()))[::6] == ("ok", None)


def test_a_serial_alone_becomes_the_first_certificate_s_in_memory_and_is_not_written(
    ca: Ca, records: Records, tmp_path: Path
) -> None:
    old = ca.issue("old")
    records.add("old", old, serial_alone=True)
    before = records.path.read_bytes()
    door = door_of(ca, records)
    assert door.check(door.caller(der(old), ()))[6] == ("old", "", '{"room":7}')
    assert door.check(door.caller(der(old), ()))[0] == "ok"
    assert records.path.read_bytes() == before


def test_a_registry_that_is_gone_admits_nobody_and_is_told_once(
    ca: Ca, alice: x509.Certificate, records: Records
) -> None:
    said: list[str | None] = []
    door = door_of(ca, records, max_age_ms=300, report=said.append)
    caller = door.caller(der(alice), ())
    assert door.check(caller)[0] == "ok"
    away = records.path.with_suffix(".away")
    records.path.rename(away)
    until(lambda: door.check(caller)[0] == "registry-unavailable")
    for _ in range(20):
        assert door.check(caller)[0] == "registry-unavailable"
    until(lambda: bool(said) and door.check(caller)[0] != "")
    assert len(said) == 1 and "registry.db" in str(said[0])
    away.rename(records.path)
    until(lambda: door.check(caller)[0] == "ok")
    until(lambda: said[-1] is None and door.check(caller)[0] == "ok")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_report_that_fails_harms_nobody(ca: Ca, alice: x509.Certificate, tmp_path: Path) -> None:
    heard = threading.Event()

    def report(problem: str | None) -> None:
        heard.set()
        raise ValueError(problem)

    records = Records(tmp_path / "registry.db")
    records.path.unlink()
    door = door_of(ca, records, report=report)
    caller = door.caller(der(alice), ())
    until(lambda: door.check(caller)[0] == "registry-unavailable" and heard.is_set())
    records.file.close()


def test_a_caller_of_another_door_is_not_checked(ca: Ca, alice: x509.Certificate) -> None:
    """Its answer is that of other CAs: known by a number that both doors count from one."""
    mine, other = door_of(ca), door_of(Ca("Other CA"))
    caller = mine.caller(der(alice), ())
    assert mine.check(caller)[0] == "ok"
    with pytest.raises(TypeError):
        other.check(caller)
    assert other.check(other.caller(der(alice), ()))[0] == "untrusted-issuer"


@pytest.mark.parametrize(
    "wrong", [b"", b"0", b"0\x03\x02\x01\x01", b"\x30\x84\xff\xff\xff\xff", b"\0" * 70000, "text", None]
)
def test_what_is_no_certificate_is_an_error(ca: Ca, alice: x509.Certificate, wrong: object) -> None:
    door = door_of(ca)
    for arguments in ((wrong, ()), (der(alice), (wrong,)), (der(alice) + b"\0", ())):
        with pytest.raises((ValueError, TypeError)):
            door.caller(*arguments)  # type: ignore[arg-type]


def test_wrong_sources_are_an_error_and_leave_what_was_there(ca: Ca, alice: x509.Certificate) -> None:
    door = door_of(ca)
    caller = door.caller(der(alice), ())
    for cas in ([], [("x", b"")], [("x", b"no PEM")], ["x"], [("x",)], [(b"x", "x")], ()):
        with pytest.raises((ValueError, TypeError)):
            door.load(cas, [])  # type: ignore[arg-type]
        with pytest.raises((ValueError, TypeError)):
            _door.Door(cas, [])  # type: ignore[arg-type]
    assert door.check(caller)[0] == "ok"
    with pytest.raises(TypeError):
        _door.Door.__new__(_door.Door)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        _door.Caller()  # type: ignore[call-arg]


def test_a_fork_asks_for_itself_and_leaves_the_parent_s_thread_alone(
    ca: Ca, alice: x509.Certificate, records: Records
) -> None:
    door = door_of(ca, records)
    caller = door.caller(der(alice), ())
    assert door.check(caller)[0] == "ok"
    (come, go), (asked, say) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            ok = door.check(caller)[0] == "ok"
            os.write(say, b"x")
            os.read(come, 1)  # the parent has made a change
            until(lambda: door.check(caller)[0] == "suspended")
            door.close()
            os._exit(0 if ok else 1)
        os._exit(2)
    os.read(asked, 1)
    records.set_status("alice", 2)
    os.write(go, b"x")
    assert os.waitpid(child, 0)[1] == 0
    until(lambda: door.check(caller)[0] == "suspended")


def test_many_threads_ask_first_and_one_follower_is_started(ca: Ca, alice: x509.Certificate, records: Records) -> None:
    door = door_of(ca, records)
    caller = door.caller(der(alice), ())
    threads = len(os.listdir("/proc/self/task"))
    together, answers = threading.Barrier(8), []

    def ask() -> None:
        together.wait()
        answers.append(door.check(caller)[0])

    asking = [threading.Thread(target=ask) for _ in range(8)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert answers == ["ok"] * 8
    until(lambda: len(os.listdir("/proc/self/task")) == threads + 1)
    door.close()
    assert len(os.listdir("/proc/self/task")) == threads
    assert door.check(caller)[0] == "ok"


EXIT = """
    import sys
    from test_door import Ca, Records, der, door_of
    from handclasp import _door
    from pathlib import Path
    how, folder = sys.argv[1:]
    ca = Ca("Shop CA")
    records = Records(Path(folder, "registry.db"))
    alice = ca.issue("alice")
    records.add("alice", alice)
    kept = door_of(ca, records, report=lambda problem: print(problem, file=sys.stderr))
    caller = kept.caller(der(alice), ())
    assert kept.check(caller)[0] == "ok"
    if how == "leaked":  # a reference that nobody gives back: the thread runs on while the interpreter ends
        sys.foo = [kept]
        sys.foo.append(sys.foo)
        import ctypes
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))
    if how == "failing":
        records.path.unlink()
    if how == "closed":
        kept.close()
    if how == "thread":
        import threading, time
        def ask():
            while True:
                kept.check(caller)
        for _ in range(4):
            threading.Thread(target=ask, daemon=True).start()
        time.sleep(0.05)
"""


@pytest.mark.parametrize("how", ["plain", "leaked", "failing", "closed", "thread"])
def test_the_interpreter_ends_while_the_registry_is_followed(how: str, tmp_path: Path) -> None:
    source = "\n".join(["import conftest", textwrap.dedent(EXIT)])
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", source, how, str(tmp_path)],
        cwd=Path(__file__).parent,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "") or (how == "failing" and done.returncode == 0), done.stderr


def test_thousands_of_certificates_and_doors_leave_nothing_behind(
    ca: Ca, alice: x509.Certificate, records: Records
) -> None:
    certificate, stranger = der(alice), der(ca.issue("stranger"))
    said: list[str | None] = []

    def use(door: _door.Door) -> None:
        for leaf in (certificate, stranger):
            caller = door.caller(leaf, (der(ca.cert),))
            assert len(caller.variables) > 10
            for _ in range(3):
                door.check(caller)
        for broken in (b"0", b"0\x03\x02\x01\x01"):
            with contextlib.suppress(ValueError):
                door.caller(broken, ())
            with contextlib.suppress(ValueError):
                door.caller(leaf, (broken,))
        with contextlib.suppress(ValueError):
            door.load([("x", b"")], [])
        door.load([("ca", pem(ca.cert))], [])
        with contextlib.suppress(ValueError):
            _door.Door([("x", b"no PEM")], [], registry="sqlite:x", base="/", report=said.append)
        with contextlib.suppress(ValueError):
            _door.Door([("ca", pem(ca.cert))], [], registry="redis:x", report=said.append)

    kept = door_of(ca, records, report=said.append)
    counted = [_door.Door, _door.Caller, None, said]

    def rounds(count: int) -> None:
        for _ in range(count):
            use(kept)
            use(door_of(ca))
        for _ in range(count // 20):
            use(door_of(ca, records, report=said.append))

    rounds(100)
    gc.collect()
    blocks, references = sys.getallocatedblocks(), [sys.getrefcount(one) for one in counted]
    memory = resident_kb()
    rounds(200)
    gc.collect()
    assert sys.getallocatedblocks() - blocks < 180  # a leak by one path would be 200 or more
    for before, one in zip(references, counted, strict=True):
        assert abs(sys.getrefcount(one) - before) < 100
    assert resident_kb() - memory < 2500  # 400 certificates are more


@pytest.mark.parametrize("ask", ["certificates", "suspend", "revoke"])
def test_a_view_is_told_that_nobody_can_be_asked_here(
    ca: Ca, alice: x509.Certificate, records: Records, ask: str
) -> None:
    app = Flask(__name__)

    @app.get("/")
    @client_required(role="meter")
    def view() -> str:
        try:
            if ask == "certificates":
                return str(current_client.certificates)
            if ask == "suspend":
                current_client.suspend("lost")
            current_client.revoke(hashlib.sha256(der(alice)).hexdigest())
        except RegistryUnavailable as problem:
            return f"{current_client.name} {current_client.attributes['room']}: {problem}"
        return "done"

    (records.path.parent / "ca.pem").write_bytes(pem(ca.cert))
    app.wsgi_app = ForwardedClientCertificate(  # type: ignore[method-assign]
        app.wsgi_app,
        form="haproxy",
        trusted=["127.0.0.1"],
        ca_certs=records.path.parent / "ca.pem",
        registry=f"sqlite:{records.path}",
    )
    said = app.test_client().get("/", headers={"X-SSL-Client-Cert": base64.b64encode(der(alice)).decode()}).text
    assert said.startswith("alice 7: nothing is asked or changed about 'alice' from here") and "handclasp serve" in said


def resident_kb() -> int:
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS"))


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="NOT TESTED: valgrind is not here")
def test_valgrind_finds_nothing_in_the_door(tmp_path: Path) -> None:
    # Not what is uninitialised: valgrind takes what OpenSSL draws at random for it, wherever Python carries it.
    done = subprocess.run(
        ["valgrind", "--error-exitcode=9", "--undef-value-errors=no", f"--log-file={tmp_path / 'log'}"]
        + [sys.executable, "-c", "import conftest\n" + textwrap.dedent(EXIT), "plain", str(tmp_path)],
        cwd=Path(__file__).parent,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent), "PYTHONMALLOC": "malloc"},
        timeout=600,
    )
    assert done.returncode == 0, (tmp_path / "log").read_text()


def test_an_allocation_that_fails_is_an_error_and_changes_no_answer(
    ca: Ca, alice: x509.Certificate, records: Records
) -> None:
    capi = pytest.importorskip("_testcapi")
    leaf, chain, cas = der(alice), (der(ca.cert),), [("ca.pem", pem(ca.cert))]
    kept, folder = door_of(ca, records), str(records.path.parent)

    def said(answer: _door.Answer) -> tuple[object, ...]:
        return answer[:5] + answer[6:]  # a day may end

    def use() -> list[tuple[object, ...]]:
        door = _door.Door(cas, [], registry="sqlite:registry.db", base=folder)
        answers: list[tuple[object, ...]] = []
        for one in (door, kept):
            caller = one.caller(leaf, chain)
            answers += [said(one.check(caller)), said(one.check(caller))]
        door.close()
        return answers

    expected, failed = use(), 0
    for nth in range(1, 150):
        answers = None
        capi.set_nomemory(nth, nth + 1)
        try:
            answers = use()
        except MemoryError:
            failed += 1
        finally:
            capi.remove_mem_hooks()
        assert answers in (None, expected)
        assert said(kept.check(kept.caller(leaf, ()))) == expected[-1]
    assert 20 < failed < 149
