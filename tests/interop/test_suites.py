"""Flask's and Werkzeug's own tests pass through Handclasp as they do in process (see suite_plugin.py).

The two projects' source archives come from the package index, in the versions named here, and are kept in
build/suites; where that cannot be reached, the tests are skipped. What is marked `dev_server` is left out: it tests
Werkzeug's server, without any client of ours.
"""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from handclasp_server_tests import ROOT, Program

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
KEPT = Path(os.environ.get("HANDCLASP_SUITES", ROOT / "build/suites"))
VERSIONS = {"flask": "3.1.3", "werkzeug": "3.1.9"}
# What their pyproject.toml names for the tests; pytest 9 lacks a name that Flask 3.1.3 imports.
NEEDED = [
    *("pytest==8.4.2", "pytest-timeout", "asgiref", "greenlet", "python-dotenv", "ephemeral-port-reserve"),
    *("cryptography", "watchdog"),
]
SUITE_S = 300


def fetch(folder: Path, python: Path) -> None:
    """Sources in folder/NAME-VERSION, the packages themselves and what they need in folder/site-X.Y."""
    pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", "--retries=0", "--timeout=10"]
    wanted = [f"{name}=={version}" for name, version in VERSIONS.items()]
    subprocess.run(
        [*pip, "install", f"--target={folder / site_name(python)}", *wanted, *NEEDED],
        check=True,
        capture_output=True,
        text=True,
    )
    for name, version in VERSIONS.items():
        archive = folder / f"{name}-{version}.tar.gz"
        if not archive.exists():
            subprocess.run(
                [*pip, "download", "--no-deps", f"--no-binary={name}", f"--dest={folder}", f"{name}=={version}"],
                check=True,
                capture_output=True,
                text=True,
            )
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")


def site_name(python: Path) -> str:
    code = "import sys; print('site-%d.%d' % sys.version_info[:2])"
    done = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture(scope="session")
def suites(program: Program) -> Path:
    """The folder with the sources; complete once its mark is there."""
    site = KEPT / site_name(program.python)
    mark = site / ("complete-" + "-".join(f"{name}-{version}" for name, version in VERSIONS.items()))
    if not mark.exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        try:
            fetch(KEPT, program.python)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"the suites cannot be had: {getattr(error, 'stderr', error)}")
        mark.touch()
    return KEPT


def run(suites: Path, program: Program, name: str, results: Path, **environment: str) -> dict[str, object]:
    package = program.pythonpath
    path = [suites / site_name(program.python), HERE, *([package] if package else [])]
    own = {"PYTHONPATH": os.pathsep.join(map(str, path)), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [
            *(program.python, "-m", "pytest", "-q", "-p", "suite_plugin", "-p", "no:cacheprovider"),
            *("-m", "not dev_server", "--tb=short", f"--basetemp={results.with_suffix('.tmp')}"),
        ],
        cwd=suites / f"{name}-{VERSIONS[name]}",
        env=program.environment(**own, SUITE_RESULTS=str(results), **environment),
        capture_output=True,
        text=True,
        timeout=SUITE_S,
    )
    print(done.stdout[-20_000:], done.stderr[-5_000:])
    assert done.returncode in (0, 1), f"pytest could not run {name}'s tests"
    return json.loads(results.read_text())


def cannot_apply(name: str) -> dict[str, str]:
    """Test id: reason."""
    listed: dict[str, str] = {}
    reason = ""
    for line in (HERE / f"cannot_apply_{name}.txt").read_text().splitlines():
        if line.startswith("# "):
            reason = line[2:]
        elif line:
            assert reason, f"no reason for {line}"
            listed[line] = reason
    return listed


@pytest.mark.parametrize(("name", "at_least"), [("flask", 400), ("werkzeug", 150)])
def test_every_test_that_passes_in_process_passes_through_handclasp(
    suites: Path, program: Program, state: Path, tmp_path: Path, name: str, at_least: int
) -> None:
    through = {"SUITE_BINARY": str(program.binary), "SUITE_STATE": str(state)}
    with ThreadPoolExecutor() as pool:
        alone = pool.submit(run, suites, program, name, tmp_path / "in-process.json")
        served = pool.submit(run, suites, program, name, tmp_path / "through.json", **through)
        in_process, over_tls = alone.result()["tests"], served.result()
    passed = {test for test, outcome in in_process.items() if outcome == "passed"}
    lost = {test for test in passed if over_tls["tests"].get(test) != "passed"}
    listed = set(cannot_apply(name))
    assert sorted(lost - listed) == [], "these fail through Handclasp"
    assert sorted(listed - lost) == [], "these are listed in vain"
    assert over_tls["requests"] >= at_least, "the requests did not go through Handclasp"
    assert len(passed) >= len(over_tls["tests"]) * 0.95, "the suite itself does not pass"
