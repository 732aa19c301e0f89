"""Meters post their readings, a person reads them; who is who is told by client certificates.

    handclasp init --host localhost
    handclasp client issue meter-1 --role meter
    handclasp client issue alice --role reader              # her laptop
    handclasp client issue alice --another                  # her phone: alice-2.pem
    handclasp serve --chdir examples/readings 'app:create_app()'

A meter may write under its own name only: the name comes from its record, never from what it sends.
Who may do what are roles of the records, which the operator gives and takes: a change is in force on
the next request.

Whoever has lost a device goes to /devices with another one and revokes its certificate: it is out
within a second, also where it is connected at the moment.
"""

from __future__ import annotations

import hmac
import json
import math
import os
import secrets
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    current_app,
    g,
    jsonify,
    render_template,
    request,
)
from werkzeug.exceptions import HTTPException

from handclasp.flask import (
    ClientRefused,
    Handclasp,
    RegistryRefused,
    RegistryUnavailable,
    client_required,
    current_certificate,
    current_client,
)

UNITS = {"kWh", "m3", "W", "Cel"}
PAGE = 100
CLOCK_AHEAD = timedelta(minutes=5)

CSRF_COOKIE = "__Host-csrf"

api = Blueprint("readings", __name__)


def create_app(database: str | os.PathLike[str] | None = None) -> Flask:
    """database: path of the SQLite file, or else READINGS_DATABASE."""
    app = Flask(__name__)
    app.config["DATABASE"] = os.fspath(
        database or os.environ.get("READINGS_DATABASE", "readings.db")
    )
    app.config["MAX_CONTENT_LENGTH"] = 64 * 1024
    app.register_blueprint(api)
    app.register_error_handler(HTTPException, _problem)
    app.register_error_handler(RegistryUnavailable, _unavailable)
    app.teardown_appcontext(_close_database)
    Handclasp(app)
    with app.app_context():
        _database().executescript(Path(__file__).with_name("schema.sql").read_text())
    return app


# --- views --------------------------------------------------------------------------------------


@api.post("/readings")
@client_required(role="meter")
def post_readings() -> tuple[Response, int]:
    """One reading or a list: {"at": RFC 3339, "value": number, "unit": …}. Sent again, a reading
    changes nothing: a meter may repeat what it got no answer to."""
    body = request.get_json()
    readings = [_checked(item) for item in (body if isinstance(body, list) else [body])]
    meter = current_client.name
    rows = [(meter, *reading, current_certificate.fingerprint_sha256) for reading in readings]
    database = _database()
    before = database.total_changes
    with database:
        database.executemany(
            "INSERT INTO reading (meter, at, value, unit, fingerprint) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (meter, at) DO NOTHING",
            rows,
        )
    return jsonify(meter=meter, stored=database.total_changes - before), 201


@api.get("/readings.json")
@client_required(role="reader")
def readings_json() -> Response:
    return jsonify(readings=[dict(row) for row in _latest()])


@api.get("/")
@client_required(role="reader")
def readings_page() -> str:
    return render_template("readings.html", readings=_latest(), person=current_client.name)


@api.get("/devices")
@client_required
def devices_page() -> Response:
    """What a person's devices are, and a button for one that is lost."""
    _person()
    token = _csrf_token()
    devices = [one for one in current_client.certificates if one.status == "active"]
    page = render_template("devices.html", devices=devices, person=current_client.name, token=token)
    response = Response(page, headers={"Cache-Control": "no-store"})
    response.set_cookie(CSRF_COOKIE, token, secure=True, httponly=True, samesite="Strict", path="/")
    return response


@api.get("/devices.json")
@client_required
def devices_json() -> Response:
    _person()
    return jsonify(
        devices=[
            {
                "fingerprint": one.fingerprint_sha256,
                "serial": one.serial_hex,
                "status": one.status,
                "this": one.current,
                "last_seen": one.last_seen.isoformat() if one.last_seen else None,
            }
            for one in current_client.certificates
        ]
    )


@api.post("/devices/lost")
@client_required
def device_lost() -> tuple[Response, int]:
    """Revokes the certificate of another device of the same client: a form's or JSON's
    `certificate`, its SHA-256."""
    _person()
    _check_csrf()
    form = request.get_json() if request.is_json else request.form
    fingerprint = form.get("certificate") if isinstance(form, dict) else None
    if not isinstance(fingerprint, str):
        abort(400, "certificate must be a fingerprint")
    if fingerprint == current_certificate.fingerprint_sha256:
        abort(409, "that is the device in your hands: use another one")
    try:
        current_client.revoke(fingerprint, "keyCompromise")
    except ValueError as wrong:
        abort(400, str(wrong))
    except RegistryRefused as refused:
        abort(404 if refused.code == "not-found" else 409, str(refused))
    return jsonify(revoked=fingerprint), 200


def _person() -> None:
    """Known to the registry, and more than a meter: those cannot lose anything."""
    if not current_client or current_client.roles <= {"meter"}:
        raise ClientRefused("this page is for people")


# A browser shows its certificate to whoever makes it ask: any other site may post a form to
# /devices/lost in alice's name. So the form carries a token that only a page of ours can know, and
# that must be the one in a cookie that no other site can set (__Host-) or make the browser send
# (SameSite). A program that sends JSON is no form: other sites need a CORS preflight for it, which
# nothing here answers.


def _csrf_token() -> str:
    return request.cookies.get(CSRF_COOKIE) or secrets.token_urlsafe(32)


def _check_csrf() -> None:
    if request.is_json:
        return
    cookie, sent = request.cookies.get(CSRF_COOKIE, ""), request.form.get("csrf", "")
    if not cookie or not hmac.compare_digest(cookie.encode(), sent.encode()):
        abort(403, "the form is not from this site, or too old: open /devices again")


def _checked(item: object) -> tuple[str, float, str]:
    """The columns of a reading; 400 with what is wrong."""
    if not isinstance(item, dict):
        abort(400, "a reading is an object")
    unknown = item.keys() - {"at", "value", "unit"}
    if unknown:
        abort(400, f"unknown member {min(unknown)!r}")
    value, unit = item.get("value"), item.get("unit")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        abort(400, "value must be a finite number")
    if not isinstance(unit, str) or unit not in UNITS:
        abort(400, f"unit must be one of {', '.join(sorted(UNITS))}")
    return _checked_time(item.get("at")), float(value), unit


def _checked_time(text: object) -> str:
    try:
        at = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        abort(400, "at must be a time with its offset, as 2026-01-31T12:00:00Z (RFC 3339)")
    if at > datetime.now(UTC) + CLOCK_AHEAD:
        abort(400, "at is in the future")
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _latest() -> list[sqlite3.Row]:
    """Newest first; of one meter with ?meter=NAME."""
    meter = request.args.get("meter")
    rows = _database().execute(
        "SELECT meter, at, value, unit FROM reading WHERE ?1 IS NULL OR meter = ?1"
        " ORDER BY at DESC, meter LIMIT ?2",
        (meter, PAGE),
    )
    return rows.fetchall()


# --- database, errors ---------------------------------------------------------------------------


def _database() -> sqlite3.Connection:
    """This request's connection."""
    if "database" not in g:
        g.database = sqlite3.connect(current_app.config["DATABASE"], timeout=10)
        g.database.row_factory = sqlite3.Row
        g.database.execute("PRAGMA journal_mode = WAL")
    return cast(sqlite3.Connection, g.database)


def _close_database(error: BaseException | None) -> None:
    database = g.pop("database", None)
    if database is not None:
        database.close()


def _unavailable(error: RegistryUnavailable) -> tuple[str, int, dict[str, str]]:
    """The registry may or may not have done it: doing it again does no harm."""
    problem = {"title": "Service Unavailable", "status": 503, "detail": f"try again: {error}"}
    return json.dumps(problem), 503, {"Content-Type": "application/problem+json"}


def _problem(error: HTTPException) -> Any:
    """Errors as problem+json (RFC 9457); a refused client's problem names the verdict already."""
    response = error.get_response()
    if not isinstance(error, ClientRefused):
        problem = {"title": error.name, "status": error.code, "detail": error.description}
        response.data = json.dumps(problem)
        response.content_type = "application/problem+json"
    return response
