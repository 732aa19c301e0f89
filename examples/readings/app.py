"""Meters post their readings, a person reads them; who is who is told by client certificates.

    handclasp init --host localhost --client meter-1 --client alice
    READINGS_METERS=meter-1 READINGS_READERS=alice \
        handclasp serve --chdir examples/readings 'app:create_app()'

A meter may write under its own name only: the name comes from its certificate, never from what it
sends. Who is a meter and who may read is told by lists of names here, because these certificates
have no record yet; where the server keeps records, `client_required(role="meter")` says it.
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

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

from handclasp.flask import ClientRefused, Handclasp, client_required, current_certificate

UNITS = {"kWh", "m3", "W", "Cel"}
PAGE = 100
CLOCK_AHEAD = timedelta(minutes=5)

api = Blueprint("readings", __name__)
F = TypeVar("F", bound=Callable[..., Any])


def create_app(
    database: str | os.PathLike[str] | None = None,
    meters: Iterable[str] | None = None,
    readers: Iterable[str] | None = None,
) -> Flask:
    """database: path of the SQLite file; meters, readers: common names. What is not given comes
    from READINGS_DATABASE, READINGS_METERS and READINGS_READERS (names with commas between)."""
    app = Flask(__name__)
    app.config["DATABASE"] = os.fspath(
        database or os.environ.get("READINGS_DATABASE", "readings.db")
    )
    app.config["METERS"] = frozenset(_names("READINGS_METERS") if meters is None else meters)
    app.config["READERS"] = frozenset(_names("READINGS_READERS") if readers is None else readers)
    app.config["MAX_CONTENT_LENGTH"] = 64 * 1024
    app.register_blueprint(api)
    app.register_error_handler(HTTPException, _problem)
    app.teardown_appcontext(_close_database)
    Handclasp(app)
    with app.app_context():
        _database().executescript(Path(__file__).with_name("schema.sql").read_text())
    return app


def _names(variable: str) -> list[str]:
    return [name.strip() for name in os.environ.get(variable, "").split(",") if name.strip()]


# --- who may ------------------------------------------------------------------------------------


def named_in(setting: str) -> Callable[[F], F]:
    """Only for clients whose common name is in this setting."""

    def decorate(view: F) -> F:
        @client_required
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            if current_certificate.subject.common_name not in current_app.config[setting]:
                raise ClientRefused(f"this certificate's name is not among the {setting.lower()}")
            return view(*args, **kwargs)

        return cast(F, guarded)

    return decorate


# --- views --------------------------------------------------------------------------------------


@api.post("/readings")
@named_in("METERS")
def post_readings() -> tuple[Response, int]:
    """One reading or a list: {"at": RFC 3339, "value": number, "unit": …}. Sent again, a reading
    changes nothing: a meter may repeat what it got no answer to."""
    body = request.get_json()
    readings = [_checked(item) for item in (body if isinstance(body, list) else [body])]
    meter = str(current_certificate.subject.common_name)
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
@named_in("READERS")
def readings_json() -> Response:
    return jsonify(readings=[dict(row) for row in _latest()])


@api.get("/")
@named_in("READERS")
def readings_page() -> str:
    person = current_certificate.subject.common_name
    return render_template("readings.html", readings=_latest(), person=person)


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


def _problem(error: HTTPException) -> Any:
    """Errors as problem+json (RFC 9457); a refused client's problem names the verdict already."""
    response = error.get_response()
    if not isinstance(error, ClientRefused):
        problem = {"title": error.name, "status": error.code, "detail": error.description}
        response.data = json.dumps(problem)
        response.content_type = "application/problem+json"
    return response
