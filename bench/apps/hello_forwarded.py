"""hello.py behind handclasp.forwarded; BENCH_STATE is the state folder."""

import os

from hello import app

from handclasp.forwarded import ForwardedClientCertificate

app.wsgi_app = ForwardedClientCertificate(
    app.wsgi_app, form="nginx", trusted=["127.0.0.1"], state=os.environ["BENCH_STATE"]
)


@app.get("/verdict")
def verdict():
    from flask import request

    return f"{request.environ['handclasp.verdict']} {request.environ.get('REMOTE_USER')}"
