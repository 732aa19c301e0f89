"""`python -m handclasp`: the program `handclasp`, with this interpreter for `serve`."""

from __future__ import annotations

import os
import sys

from handclasp._serve import find_binary


def main() -> None:
    try:
        binary = find_binary()
    except FileNotFoundError as missing:
        sys.exit(f"handclasp: {missing}")
    os.environ.setdefault("HANDCLASP_PYTHON", sys.executable)
    os.execv(binary, ["handclasp", *sys.argv[1:]])


if __name__ == "__main__":
    main()
