"""Applications for the tests of PEP 3333."""

PLAIN = [("Content-Type", "text/plain")]


def answer(*blocks, headers=PLAIN, status="200 OK"):
    """An application that answers with a list of blocks."""

    def app(environ, start_response):
        start_response(status, list(headers))
        return list(blocks)

    return app


class Blocks:
    """An iterable with close(), whose blocks may be callables: called when they are asked for."""

    def __init__(self, *blocks, close=lambda: None):
        self.blocks, self.closed, self._close = iter(blocks), 0, close

    def __iter__(self):
        return self

    def __next__(self):
        block = next(self.blocks)
        return block() if callable(block) else block

    def close(self):
        self.closed += 1
        self._close()


def fail(error):
    def raiser():
        raise error

    return raiser
