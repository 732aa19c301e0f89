"""What a Flask view knows of its client's record, and does to it, on the real server."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import ROOT, Program, Response, Server, children, eventually, running

PROMISED_S = 1.0

APP = """
import os, threading, time
from flask import Flask, Response, jsonify, request
from handclasp.flask import (Handclasp, RegistryError, client_required, current_certificate,
                             current_client)

app = Flask(__name__)
hc = Handclasp(app)

@hc.verify_client
def verify(attempt):
    return attempt.client is None or attempt.client.attributes.get("welcome", True)

@app.get("/")
@client_required
def who():
    return jsonify(name=current_client.name, roles=sorted(current_client.roles),
                   attributes=dict(current_client.attributes), pid=os.getpid(),
                   user=request.environ["REMOTE_USER"], auth=request.environ["AUTH_TYPE"])

@app.get("/meters")
@client_required(role="meter")
def meters():
    return jsonify(ok=True)

@app.get("/any")
@client_required(any_role=["meter", "reader"])
def any_role():
    return jsonify(ok=True)

def did(work):
    try:
        return jsonify(did=work())
    except RegistryError as problem:
        return jsonify(error=type(problem).__name__, code=getattr(problem, "code", None),
                       text=str(problem))

@app.get("/certificates")
def certificates():
    return did(lambda: [dict(sha256=c.fingerprint_sha256, status=c.status, reason=c.reason,
                             current=c.current, serial=c.serial_hex, subject=c.subject)
                        for c in current_client.certificates])

@app.post("/revoke/<sha256>")
def revoke(sha256):
    return did(lambda: current_client.revoke(sha256, "keyCompromise"))

@app.post("/suspend")
def suspend():
    return did(lambda: current_client.suspend("lost"))

@app.post("/leave")
def leave():
    mine = current_certificate.fingerprint_sha256
    client = current_client._get_current_object()
    def parts():
        client.revoke(mine, "superseded")
        for n in range(20):
            time.sleep(0.05)
            yield b"%d\\n" % n
    return Response(parts())

@app.get("/thread")
def thread():
    client, found = current_client._get_current_object(), []
    other = threading.Thread(target=lambda: found.append(len(client.certificates)))
    other.start()
    other.join()
    return jsonify(did=found)

@app.get("/async")
async def in_a_coroutine():
    return did(lambda: len(current_client.certificates))
"""


class Place:
    """A running server, and the commands of its operator."""

    def __init__(self, program: Program, state: Path, server: Server) -> None:
        self.program, self.state, self.server = program, state, server

    def client(self, *arguments: str) -> None:
        done = self.program.run("client", arguments[0], "--state", self.state, *arguments[1:])
        assert done.returncode == 0, done.stderr

    def get(self, path: str, client: str = "alice", **options) -> dict:
        got = self.server.request(path, client=client, **options)
        assert got.status == 200, got.text
        return json.loads(got.text)

    def post(self, path: str, client: str = "alice", **options) -> dict:
        return self.get(path, client, method="POST", **options)

    def sha256(self, client: str) -> str:
        """Of the certificate in clients/NAME.pem."""
        (mine,) = [c for c in self.get("/certificates", client)["did"] if c["current"]]
        return mine["sha256"]


@pytest.fixture
def own(program: Program, own_state: Path) -> Path:
    """alice with two devices, bob with one."""
    for arguments in (
        ["alice", "--another"],
        ["alice", "--role", "reader", "--attribute", "room=7"],
    ):
        done = program.run("client", "issue", "--state", own_state, *arguments)
        assert done.returncode == 0, done.stderr
    return own_state


@pytest.fixture
def place(program: Program, own: Path, tmp_path: Path) -> Iterator[Place]:
    with running(program, own, tmp_path, APP) as server:
        yield Place(program, own, server)


def verdict_of(got: Response) -> str:
    return json.loads(got.text)["verdict"]


def until_refused(place: Place, over, verdict: str, path: str = "/") -> float:
    """Asks on an open connection until it is refused so; seconds since the call."""
    start = time.monotonic()
    while True:
        with contextlib.suppress(ConnectionError):
            got = place.server.request(path, over=over)
            if got.status != 200:
                assert (got.status, verdict_of(got)) == (403, verdict)
                return time.monotonic() - start
        assert time.monotonic() - start < 10, f"not {verdict}"


# --- who it is ----------------------------------------------------------------------------------


def test_a_view_knows_its_client_by_name_roles_and_attributes(place: Place) -> None:
    alice = place.get("/")
    del alice["pid"]
    assert alice == {
        "name": "alice",
        "roles": ["reader"],
        "attributes": {"room": "7"},
        "user": "alice",
        "auth": "CLIENT_CERT",
    }
    assert place.get("/", "alice-2")["name"] == "alice"
    assert place.get("/", "bob")["roles"] == []


def test_roles_open_and_shut_views(place: Place) -> None:
    assert place.get("/any")["ok"]
    refused = place.server.request("/meters")
    assert (refused.status, verdict_of(refused)) == (403, "refused-by-app")
    assert place.server.request("/any", client="bob").status == 403


def test_a_changed_record_is_seen_by_the_next_request_of_an_open_connection(place: Place) -> None:
    kept = place.server.connection()
    assert place.server.request("/meters", over=kept).status == 403
    place.client("role", "alice", "+meter")
    changed = time.monotonic()
    eventually(lambda: place.server.request("/meters", over=kept).status == 200, "the role is there", 5)
    assert time.monotonic() - changed < PROMISED_S
    place.client("attribute", "alice", "room=8", "--json-set", 'limits={"kwh": [40]}')
    eventually(
        lambda: (
            json.loads(place.server.request("/", over=kept).text)["attributes"]
            == {"room": "8", "limits": {"kwh": [40]}}
        ),
        "the attributes are there",
        5,
    )
    place.client("role", "alice", "--none")
    assert until_refused(place, kept, "refused-by-app", "/meters") < PROMISED_S
    kept.close()


def test_what_verify_client_answered_does_not_outlive_the_record(place: Place) -> None:
    """Its answers are kept for a second: a changed record is another question."""
    kept = place.server.connection()
    assert place.server.request("/", over=kept).status == 200
    place.client("attribute", "alice", "--json-set", "welcome=false")
    assert until_refused(place, kept, "refused-by-app") < PROMISED_S
    kept.close()


def test_every_worker_and_thread_has_the_change(program: Program, own: Path, tmp_path: Path) -> None:
    with running(program, own, tmp_path, APP, workers=2, threads=2) as server:
        place = Place(program, own, server)
        kept = [server.connection() for _ in range(6)]
        pids: set[int] = set()

        def ask(over) -> None:
            pids.add(json.loads(server.request("/", over=over).text)["pid"])

        # At once: one after the other, idle as they are, would all go to one worker.
        with ThreadPoolExecutor(len(kept)) as pool:
            eventually(lambda: list(pool.map(ask, kept)) and len(pids) == 2, "both workers answer")
        place.client("role", "alice", "+meter")
        time_s = time.monotonic()
        for over in kept:
            eventually(lambda over=over: server.request("/meters", over=over).status == 200, "", 5)
        assert time.monotonic() - time_s < PROMISED_S
        for over in kept:
            over.close()


# --- what it does -------------------------------------------------------------------------------


def test_a_view_sees_the_certificates_of_its_own_client_and_of_nobody_else(place: Place) -> None:
    first, second = (place.get("/certificates", name)["did"] for name in ("alice", "alice-2"))
    assert {c["sha256"] for c in first} == {c["sha256"] for c in second}
    assert len(first) == 2
    assert [c["current"] for c in first] == [not c["current"] for c in second]
    (bobs,) = place.get("/certificates", "bob")["did"]
    assert bobs["current"] and bobs["sha256"] not in {c["sha256"] for c in first}


def test_a_lost_device_is_cut_off_within_a_second_by_another_one(place: Place) -> None:
    phone = place.server.connection("alice-2")
    assert place.server.request("/", over=phone).status == 200
    lost = place.sha256("alice-2")
    assert place.post(f"/revoke/{lost}")["did"] is None
    assert until_refused(place, phone, "revoked") < PROMISED_S
    phone.close()
    assert place.server.request("/", client="alice-2").status == 403
    assert place.get("/")["name"] == "alice"
    (gone,) = [c for c in place.get("/certificates")["did"] if c["sha256"] == lost]
    assert (gone["status"], gone["reason"]) == ("revoked", "keyCompromise")


def test_who_revokes_the_certificate_in_its_hands_gets_the_response_to_its_end(
    place: Place,
) -> None:
    kept = place.server.connection()
    left = place.server.request("/leave", method="POST", over=kept)
    assert (left.status, left.text.split()) == (200, [str(n) for n in range(20)])
    kept.close()
    after = place.server.request("/")
    assert (after.status, verdict_of(after)) == (403, "revoked")


def test_a_client_that_suspends_itself_is_out_with_all_its_devices(place: Place) -> None:
    kept = place.server.connection("alice-2")
    assert place.post("/suspend")["did"] is None
    assert until_refused(place, kept, "suspended") < PROMISED_S
    kept.close()
    assert verdict_of(place.server.request("/")) == "suspended"
    place.client("resume", "alice")
    eventually(lambda: place.server.request("/").status == 200, "alice is back")


def test_a_view_cannot_touch_another_clients_certificate(place: Place) -> None:
    bobs = place.sha256("bob")
    tried = place.post(f"/revoke/{bobs}")
    assert (tried["error"], tried["code"]) == ("RegistryRefused", "not-found")
    assert place.get("/", "bob")["name"] == "bob"


def test_a_thread_of_a_view_and_an_async_view_may_ask(place: Place) -> None:
    assert place.get("/thread")["did"] == [2]
    pytest.importorskip("asgiref")
    assert place.get("/async")["did"] == 2


def test_views_ask_at_the_same_time(program: Program, own: Path, tmp_path: Path) -> None:
    with running(program, own, tmp_path, APP, threads=4) as server:
        place = Place(program, own, server)
        results: list[int] = []

        def ask(name: str) -> None:
            kept = server.connection(name)
            for _ in range(25):
                results.append(len(place.get("/certificates", over=kept)["did"]))
            kept.close()

        threads = [threading.Thread(target=ask, args=(n,)) for n in ("alice", "alice-2", "bob") * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sorted(results) == [1] * 50 + [2] * 100


# --- when the authority is not there ------------------------------------------------------------


def authority_of(server: Server) -> int | None:
    found = [pid for pid, line in children(server.pid) if "authority" in line]
    return found[0] if found else None


def test_a_view_that_waits_for_an_authority_that_dies_is_told_and_answers(place: Place) -> None:
    assert place.get("/certificates")["did"]
    authority = authority_of(place.server)
    assert authority
    os.kill(authority, signal.SIGSTOP)
    answers: list[dict] = []
    waits = threading.Thread(target=lambda: answers.append(place.get("/certificates")))
    waits.start()
    assert place.get("/")["name"] == "alice"  # others are served meanwhile
    os.kill(authority, signal.SIGKILL)
    waits.join(20)
    assert answers and answers[0].get("error", "RegistryUnavailable") == "RegistryUnavailable"
    eventually(lambda: "did" in place.get("/certificates"), "another authority has been started")


def test_without_a_registry_a_view_knows_nobody(program: Program, own: Path, tmp_path: Path) -> None:
    with running(program, own, tmp_path, APP, registry="none") as server:
        got = server.request("/any")
        assert (got.status, verdict_of(got)) == (403, "refused-by-app")
        assert "no record" in json.loads(got.text)["detail"]


# --- the example --------------------------------------------------------------------------------


def test_alice_says_in_the_example_that_her_phone_is_lost(program: Program, own: Path, tmp_path: Path) -> None:
    example = {
        "chdir": ROOT / "examples/readings",
        "env": {"READINGS_DATABASE": str(tmp_path / "r.db")},
    }
    with running(program, own, tmp_path, "app:create_app()", **example) as server:
        phone = server.connection("alice-2")
        assert server.request("/", over=phone).status == 200
        page = server.request("/devices")
        cookie = page.headers["Set-Cookie"].partition(";")[0]
        token = re.search(r'name="csrf" value="([^"]+)"', page.text)[1]
        lost = re.search(r'name="certificate" value="([^"]+)"', page.text)[1]
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        body = f"certificate={lost}&csrf={token}"
        forged = server.request("/devices/lost", method="POST", body=body, headers=form)
        assert forged.status == 403
        assert server.request("/", over=phone).status == 200
        done = server.request("/devices/lost", method="POST", body=body, headers={**form, "Cookie": cookie})
        assert (done.status, json.loads(done.text)) == (200, {"revoked": lost})
        assert until_refused(Place(program, own, server), phone, "revoked") < PROMISED_S
        phone.close()
        assert server.request("/").status == 200
