"""The Python side works with the oldest and the newest Flask, under every Python that it is for.

For each the extension is built, the tests of tests/python that need no server run, and the real server answers a
request. Environments and builds are kept in build/versions (HANDCLASP_VERSIONS=DIR); an interpreter that is not here is
skipped, and so is what the package index would be needed for.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from handclasp_server_tests import ROOT, Program, running

pytestmark = pytest.mark.slow

KEPT = Path(os.environ.get("HANDCLASP_VERSIONS", ROOT / "build/versions"))
# Older Mesons than this ask Python 3.12 for distutils.
TOOLS = ["pytest>=7", "cryptography>=42", "meson>=1.4", "ninja"]
# They start the server, which is one and the same here: test_alice_is_answered below does.
NEED_SERVER = ["test_serve_api.py"]
BUILD_S, TESTS_S = 600, 300

APP = """
import json
import sys
from importlib.metadata import version

from flask import Flask
from handclasp.flask import Handclasp, client_required, current_certificate

app = Flask(__name__)
hc = Handclasp(app)

@hc.verify_client
async def verify(attempt):
    return attempt.certificate is None or attempt.certificate.subject.common_name != "bob"

@app.post("/who")
@client_required
async def who():
    from flask import request
    said = {"name": current_certificate.subject.common_name, "octets": len(request.get_data())}
    return said | {"python": sys.version_info[:2], "flask": version("flask")}
"""


@dataclasses.dataclass(frozen=True)
class Version:
    python: str
    flask: tuple[str, ...]  # for pip
    tests: tuple[str, ...]  # of tests/python

    @property
    def name(self) -> str:
        return f"{self.python}-{self.flask[0].replace('==', '-')}"


EVERYTHING = tuple(
    sorted(path.name for path in (ROOT / "tests/python").glob("test_*.py") if path.name not in NEED_SERVER)
)
OF_FLASK = ("test_flask.py", "test_flask_verify.py", "test_testing.py")
OLDEST = ("flask==2.2.5", "werkzeug<3", "asgiref")
NEWEST = ("flask", "werkzeug", "asgiref")
VERSIONS = [
    Version("3.11", OLDEST, OF_FLASK),
    Version("3.11", NEWEST, EVERYTHING),
    Version("3.12", NEWEST, EVERYTHING),
    Version("3.13", NEWEST, EVERYTHING),
]


@dataclasses.dataclass(frozen=True)
class Environment:
    version: Version
    python: Path
    build: Path

    @property
    def program_path(self) -> Path:
        return self.build.parent / "package"


def find_interpreter(version: str) -> Path | None:
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    installed = sorted(pyenv.glob(f"versions/{version}.*/bin/python{version}"))
    on_path = shutil.which(f"python{version}")
    for candidate in [*reversed(installed), *([Path(on_path)] if on_path else [])]:
        # A shim of pyenv's is there for versions that are not, and an interpreter may come without its headers.
        code = "import sysconfig, venv, os; print(os.path.exists(sysconfig.get_path('include') + '/Python.h'))"
        done = subprocess.run([candidate, "-c", code], check=False, capture_output=True, text=True)
        if done.stdout.strip() == "True":
            return candidate
    return None


def run(*command: object, timeout: float = BUILD_S) -> None:
    subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True, timeout=timeout)


def make_venv(folder: Path, interpreter: Path, wanted: list[str]) -> Path:
    """The environment's Python; complete once its mark is there."""
    python, mark = folder / "venv/bin/python", folder / "complete"
    if mark.exists() and mark.read_text() == "\n".join(wanted):
        return python
    mark.unlink(missing_ok=True)
    run(interpreter, "-m", "venv", "--clear", folder / "venv")
    pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", "--retries=0", "--timeout=10"]
    run(*pip, "install", *wanted)
    mark.write_text("\n".join(wanted))
    return python


def build_extension(folder: Path, python: Path) -> Path:
    """The extension modules alone, from the source as it is now."""
    build, programs = folder / "build", python.parent
    if not (build / "build.ninja").exists():
        run(programs / "meson", "setup", build, ROOT, f"-Dpython={python}", "-Dtests=disabled")
    run(programs / "ninja", "-C", build, *(f"python/{name}{python_suffix(python)}" for name in ("_core", "_door")))
    return build


def python_suffix(python: Path) -> str:
    code = "import sysconfig; print(sysconfig.get_config_var('EXT_SUFFIX'))"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def link_package(build: Path, folder: Path) -> None:
    """The package as it will be installed."""
    package = folder / "handclasp"
    shutil.rmtree(folder, ignore_errors=True)
    package.mkdir(parents=True)
    for source in [*(ROOT / "python/handclasp").glob("*.py"), *(build / "python").glob("_*.so")]:
        (package / source.name).symlink_to(source)


@pytest.fixture(scope="module", params=VERSIONS, ids=lambda version: version.name)
def environment(request: pytest.FixtureRequest) -> Iterator[Environment]:
    version: Version = request.param
    interpreter = find_interpreter(version.python)
    if interpreter is None:
        pytest.skip(f"Python {version.python} with its headers is not here")
    folder = KEPT / version.name
    folder.mkdir(parents=True, exist_ok=True)
    try:
        python = make_venv(folder, interpreter, [*version.flask, *TOOLS])
    except subprocess.SubprocessError as error:
        pytest.skip(f"the packages cannot be had: {getattr(error, 'stderr', error)}")
    build = build_extension(folder, python)
    link_package(build, folder / "package")
    yield Environment(version, python, build)


def test_the_tests_of_the_python_side_pass(environment: Environment, tmp_path: Path) -> None:
    own = {k: v for k, v in os.environ.items() if not k.startswith(("HANDCLASP_", "PYTHON", "PYTEST"))}
    done = subprocess.run(
        [
            *(environment.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'tmp'}"),
            *(ROOT / "tests/python" / name for name in environment.version.tests),
        ],
        cwd=ROOT / "tests/python",
        env=own | {"HC_BUILD": str(environment.build), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=TESTS_S,
    )
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-2_000:]


def test_alice_is_answered_and_bob_refused(
    environment: Environment, program: Program, state: Path, tmp_path: Path
) -> None:
    of_version = dataclasses.replace(program, python=environment.python, pythonpath=environment.program_path)
    with running(of_version, state, tmp_path, APP) as server:
        said = server.request("/who", client="alice", method="POST", body=b"x" * 300_000)
        assert said.status == 200, said.text
        told = json.loads(said.body)
        assert (told["name"], told["octets"]) == ("alice", 300_000)
        assert ".".join(map(str, told["python"])) == environment.version.python
        pinned = environment.version.flask[0].partition("==")[2]
        assert told["flask"] == pinned or (not pinned and int(told["flask"].split(".")[0]) >= 3)
        refused = server.request("/who", client="bob", method="POST", body=b"x")
        assert (refused.status, json.loads(refused.body)["verdict"]) == (403, "refused-by-app")
