"""The probe behind wsgiref.validate, which raises where either side breaks PEP 3333."""

import wsgiref.validate


def inner(environ, start_response):
    body = environ["wsgi.input"]
    start_response("200 OK", [("Content-Type", "text/plain")])
    lines = [body.readline(), body.read(3), *body.readlines(10)]
    lines.append(body.read(1 << 20))
    return [b"|".join(filter(None, lines))] if environ["REQUEST_METHOD"] == "POST" else iter([b"a", b"b"])


app = wsgiref.validate.validator(inner)
