"""The smallest application that knows who it talks to.

    handclasp init --host localhost --client alice
    handclasp serve --chdir examples/hello app:app
    curl --cacert .handclasp/ca/ca.pem --cert .handclasp/clients/alice.pem \
         --key .handclasp/clients/alice.key https://localhost:8443/
"""

from flask import Flask

from handclasp.flask import Handclasp, client_required, current_certificate

app = Flask(__name__)
hc = Handclasp(app)


@app.get("/")
@client_required
def hello() -> str:
    name = current_certificate.subject.common_name
    serial = current_certificate.serial
    return f"hello {name}, your serial is {serial:x} (decimal {serial})\n"
