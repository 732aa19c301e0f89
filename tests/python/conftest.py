"""Finds the package: the installed one, or the source tree's where HC_BUILD names a build."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_BUILD = os.environ.get("HC_BUILD")
if _BUILD:
    sys.path.insert(0, str(Path(__file__).parents[2] / "python"))
    import handclasp

    handclasp.__path__.append(str(Path(_BUILD) / "python"))
    os.environ["PATH"] = os.pathsep.join([str(Path(_BUILD) / "src" / "cli"), os.environ["PATH"]])

# Not pytest_plugins: that is for the topmost conftest.py alone.
from handclasp.testing import handclasp_options, handclasp_state, live_server  # noqa: E402, F401
