"""The application of examples/hello behind somebody else's TLS: two lines more, and the views are the same.

examples/behind-nginx/run
"""

import os

from flask import Flask

from handclasp.flask import client_required, current_certificate, current_client
from handclasp.forwarded import ForwardedClientCertificate

app = Flask(__name__)


@app.get("/")
@client_required
def hello() -> str:
    return f"hello {current_client.name}, your serial is {current_certificate.serial_hex}\n"


@app.get("/meter")
@client_required(role="meter")
def meter() -> str:
    return f"{current_client.name} is a meter\n"


app.wsgi_app = ForwardedClientCertificate(  # type: ignore[method-assign]
    app.wsgi_app,
    form="nginx",
    trusted=["127.0.0.1"],
    state=os.environ.get("HANDCLASP_STATE", ".handclasp"),
)
