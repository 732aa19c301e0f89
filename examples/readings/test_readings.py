"""Run with pytest in this folder; nothing needs TLS."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from handclasp.testing import HandclaspClient, make_certificate

READING = {"at": "2026-01-31T13:00:00+01:00", "value": 41.5, "unit": "kWh"}


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    app = create_app(tmp_path / "readings.db", meters=["meter-1", "meter-2"], readers=["alice"])
    app.testing = True
    app.test_client_class = HandclaspClient
    return app


def client_of(app: Flask, name: str) -> FlaskClient:
    return app.test_client(certificate=make_certificate(name))


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
def test_who_is_not_on_the_list_is_refused(app: Flask, name: str, method: str, path: str) -> None:
    response = client_of(app, name).open(path, method=method, json=READING)
    assert response.status_code == 403
    assert response.get_json(force=True)["verdict"] == "refused-by-app"


def test_without_a_certificate_nothing_is_shown(app: Flask) -> None:
    for path in ("/", "/readings.json"):
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
    app.config["METERS"] = app.config["METERS"] | {"<b>meter"}
    client_of(app, "<b>meter").post("/readings", json=READING)
    page = client_of(app, "alice").get("/").text
    assert "&lt;b&gt;meter" in page and "<b>meter" not in page
