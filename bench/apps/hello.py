"""The application that every server of the benchmark runs."""

import os

from flask import Flask, request, send_file

app = Flask(__name__)
LARGE = os.environ.get("BENCH_LARGE", "")

# Where a server or the proxy before it says who the client is.
SUBJECTS = ("SSL_CLIENT_S_DN", "HTTPS_DN")


@app.get("/")
def hello():
    return "hello\n"


@app.get("/large")
def large():
    return send_file(LARGE, mimetype="application/octet-stream")


@app.post("/large")
def take():
    return f"{len(request.get_data())}\n"


@app.get("/who")
def who():
    env = request.environ
    for name in SUBJECTS:
        if env.get(name):
            return f"{name}={env[name]}\n"
    if "gunicorn.socket" in env:
        return f"gunicorn.socket={env['gunicorn.socket'].getpeercert()['subject']}\n"
    return "-\n"
