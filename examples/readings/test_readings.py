"""Run with pytest in this folder; nothing needs TLS."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from handclasp.testing import FakeRegistry, HandclaspClient, make_certificate

READING = {"at": "2026-01-31T13:00:00+01:00", "value": 41.5, "unit": "kWh"}


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    app = create_app(tmp_path / "readings.db")
    app.testing = True
    app.test_client_class = HandclaspClient
    return app


ROLES = {"alice": ["reader"], "mallory": []}


def client_of(app: Flask, name: str) -> HandclaspClient:
    client = app.test_client(client=name, roles=ROLES.get(name, ["meter"]))
    assert isinstance(client, HandclaspClient)
    return client


def test_a_meter_posts_and_a_person_reads(app: Flask) -> None:
    posted = client_of(app, "meter-1").post("/readings", json=READING)
    assert (posted.status_code, posted.json) == (201, {"meter": "meter-1", "stored": 1})
    read = client_of(app, "alice").get("/readings.json")
    expected = {**READING, "meter": "meter-1", "at": "2026-01-31T12:00:00Z"}
    assert read.json == {"readings": [expected]}
    page = client_of(app, "alice").get("/").text
    assert "meter-1" in page and "41.5" in page and "You are alice" in page


def test_a_list_is_stored_whole_or_not_at_all(app: Flask) -> None:
    meter = client_of(app, "meter-1")
    later = {**READING, "at": "2026-01-31T14:00:00+01:00"}
    assert meter.post("/readings", json=[READING, {**later, "unit": "mile"}]).status_code == 400
    assert client_of(app, "alice").get("/readings.json").json == {"readings": []}
    assert meter.post("/readings", json=[READING, later]).json == {"meter": "meter-1", "stored": 2}


def test_a_reading_sent_twice_is_stored_once(app: Flask) -> None:
    meter = client_of(app, "meter-1")
    meter.post("/readings", json=READING)
    assert meter.post("/readings", json=READING).json == {"meter": "meter-1", "stored": 0}


def test_a_meter_writes_under_its_own_name_only(app: Flask) -> None:
    response = client_of(app, "meter-1").post("/readings", json={**READING, "meter": "meter-2"})
    assert response.status_code == 400
    assert "meter" in response.get_json(force=True)["detail"]


def test_one_meters_readings_can_be_asked_for(app: Flask) -> None:
    for name in ("meter-1", "meter-2"):
        client_of(app, name).post("/readings", json=READING)
    read = client_of(app, "alice").get("/readings.json", query_string={"meter": "meter-2"})
    assert [reading["meter"] for reading in read.get_json()["readings"]] == ["meter-2"]


@pytest.mark.parametrize(
    ("name", "method", "path"),
    [
        ("alice", "POST", "/readings"),
        ("meter-1", "GET", "/"),
        ("meter-1", "GET", "/readings.json"),
        ("mallory", "GET", "/readings.json"),
        ("mallory", "POST", "/readings"),
    ],
)
def test_who_lacks_the_role_is_refused(app: Flask, name: str, method: str, path: str) -> None:
    response = client_of(app, name).open(path, method=method, json=READING)
    assert response.status_code == 403
    assert response.get_json(force=True)["verdict"] == "refused-by-app"


def test_a_certificate_without_a_record_is_not_enough(app: Flask) -> None:
    stranger = app.test_client(certificate=make_certificate("alice"))
    for path in ("/", "/readings.json", "/devices", "/devices.json"):
        assert stranger.get(path).status_code == 403


def test_without_a_certificate_nothing_is_shown(app: Flask) -> None:
    for path in ("/", "/readings.json", "/devices", "/devices.json"):
        response = app.test_client().get(path)
        assert response.get_json(force=True)["verdict"] == "no-certificate"


@pytest.mark.parametrize(
    "wrong",
    [
        {"value": "41.5"},
        {"value": True},
        {"value": float("nan")},
        {"value": None},
        {"unit": "mile"},
        {"unit": ["kWh"]},
        {"at": "yesterday"},
        {"at": "2026-01-31T12:00:00"},
        {"at": 7},
        {"at": (datetime.now(UTC) + timedelta(days=1)).isoformat()},
        {"extra": 1},
    ],
)
def test_a_reading_that_makes_no_sense_is_refused_and_says_why(
    app: Flask, wrong: dict[str, Any]
) -> None:
    response = client_of(app, "meter-1").post("/readings", json={**READING, **wrong})
    assert response.status_code == 400
    assert next(iter(wrong)) in response.get_json(force=True)["detail"]


@pytest.mark.parametrize("body", [b"", b"{", b"1", b'"text"', b"[1]"])
def test_a_body_that_is_no_reading_is_refused(app: Flask, body: bytes) -> None:
    response = client_of(app, "meter-1").post(
        "/readings", data=body, content_type="application/json"
    )
    assert response.status_code == 400


def test_names_in_a_page_are_escaped(app: Flask) -> None:
    client_of(app, "<b>meter").post("/readings", json=READING)
    page = client_of(app, "alice").get("/").text
    assert "&lt;b&gt;meter" in page and "<b>meter" not in page


# --- a device is lost ---------------------------------------------------------------------------

LAPTOP, PHONE = (make_certificate("alice", serial=serial) for serial in (0x1A, 0x2B))


@pytest.fixture
def registry() -> FakeRegistry:
    registry = FakeRegistry()
    registry.add(LAPTOP)
    registry.add(PHONE)
    return registry


@pytest.fixture
def laptop(app: Flask, registry: FakeRegistry) -> FlaskClient:
    return app.test_client(client="alice", roles=["reader"], certificate=LAPTOP, registry=registry)


def token_of(page: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found
    return found[1]


def test_alice_sees_her_devices_and_which_is_in_her_hands(laptop: FlaskClient) -> None:
    devices = laptop.get("/devices.json").get_json()["devices"]
    assert [(one["serial"], one["this"]) for one in devices] == [("1a", True), ("2b", False)]
    page = laptop.get("/devices").text
    assert PHONE.fingerprint_sha256 in page
    assert LAPTOP.fingerprint_sha256 not in page


def test_alice_revokes_her_phone_with_the_form(laptop: FlaskClient, registry: FakeRegistry) -> None:
    form = {"csrf": token_of(laptop.get("/devices").text), "certificate": PHONE.fingerprint_sha256}
    assert laptop.post("/devices/lost", data=form).status_code == 200
    assert registry.revoked == {PHONE.fingerprint_sha256: "keyCompromise"}
    assert PHONE.fingerprint_sha256 not in laptop.get("/devices").text


def test_alice_revokes_her_phone_with_json(laptop: FlaskClient, registry: FakeRegistry) -> None:
    lost = {"certificate": PHONE.fingerprint_sha256}
    assert laptop.post("/devices/lost", json=lost).status_code == 200
    assert registry.revoked == {PHONE.fingerprint_sha256: "keyCompromise"}


@pytest.mark.parametrize("token", [None, "", "guess", "é"])
@pytest.mark.parametrize("seen", [True, False])
def test_a_form_from_another_site_revokes_nothing(
    laptop: FlaskClient, registry: FakeRegistry, token: str | None, seen: bool
) -> None:
    if seen:  # then there is a cookie, which the other site cannot read
        laptop.get("/devices")
    form = {"certificate": PHONE.fingerprint_sha256}
    if token is not None:
        form["csrf"] = token
    refused = laptop.post("/devices/lost", data=form)
    assert refused.status_code == 403
    assert "not from this site" in refused.get_json(force=True)["detail"]
    assert not registry.revoked


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_json_that_a_form_of_another_site_could_send_revokes_nothing(
    laptop: FlaskClient, registry: FakeRegistry, kind: str
) -> None:
    laptop.get("/devices")
    body = json.dumps({"certificate": PHONE.fingerprint_sha256})
    assert laptop.post("/devices/lost", data=body, content_type=kind).status_code == 403
    assert not registry.revoked


def test_the_cookie_is_for_this_site_alone(laptop: FlaskClient) -> None:
    cookie = laptop.get("/devices").headers["Set-Cookie"]
    for part in ("__Host-csrf=", "Secure", "HttpOnly", "SameSite=Strict", "Path=/"):
        assert part in cookie


@pytest.mark.parametrize(
    ("fingerprint", "status"),
    [
        (LAPTOP.fingerprint_sha256, 409),
        (make_certificate("bob").fingerprint_sha256, 404),
        ("phone", 400),
        (None, 400),
        (7, 400),
    ],
)
def test_what_is_not_another_device_of_alice_is_not_revoked(
    laptop: FlaskClient, registry: FakeRegistry, fingerprint: Any, status: int
) -> None:
    response = laptop.post("/devices/lost", json={"certificate": fingerprint})
    assert response.status_code == status
    assert not registry.revoked


@pytest.mark.parametrize("body", [[], "phone", 7])
def test_a_body_that_names_no_device_is_refused(laptop: FlaskClient, body: Any) -> None:
    assert laptop.post("/devices/lost", json=body).status_code == 400


def test_a_meter_has_no_devices_to_lose(app: Flask) -> None:
    assert client_of(app, "meter-1").get("/devices").status_code == 403


def test_a_registry_that_does_not_answer_is_a_503_that_says_try_again(
    laptop: FlaskClient, registry: FakeRegistry
) -> None:
    registry.unavailable = True
    lost = {"certificate": PHONE.fingerprint_sha256}
    for response in (laptop.post("/devices/lost", json=lost), laptop.get("/devices")):
        assert response.status_code == 503
        assert "try again" in response.get_json(force=True)["detail"]
