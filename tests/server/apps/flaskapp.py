"""A Flask application with what Flask applications have."""

from __future__ import annotations

import asyncio
import io

from flask import Flask, Response, abort, jsonify, request, send_file, stream_with_context

app = Flask(__name__)


@app.get("/")
def hello():
    return "hello"


@app.get("/async")
async def later():
    await asyncio.sleep(0)
    return "later"


@app.post("/form")
def form():
    return jsonify(form=request.form, files={name: len(file.read()) for name, file in request.files.items()})


@app.post("/json")
def json():
    return jsonify(request.get_json())


@app.get("/stream")
def stream():
    return Response(stream_with_context(f"{request.args['word']} {n}\n" for n in range(3)))


@app.get("/file")
def file():
    return send_file(request.args["path"])


@app.get("/memory")
def memory():
    return send_file(io.BytesIO(b"m" * 100_000), mimetype="text/plain")


@app.get("/fails")
def fails():
    return 1 / 0


@app.get("/leaves")
def leaves():
    raise SystemExit(3)


@app.get("/missing")
def missing():
    abort(404)
