"""The fixtures of tests/server (`program`, `state`, `server` …), for servers that others are compared with."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest


def _load(name: str, path: Path):
    # By path: there is more than one conftest.
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


_server = _load("handclasp_server_tests", Path(__file__).parents[1] / "server/conftest.py")
program, state, server = _server.program, _server.state, _server.server
other_state = _server.other_state


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes more than a few seconds")
