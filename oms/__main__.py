"""Starts the command line: `oms` and `python -m oms` are the same. Imports nothing that may be missing."""

import gc
import os
import signal
import sys
from pathlib import Path


def main() -> None:
    """Run the command line on `sys.argv` and exit with its code (design contract: 0 to 7, 130, 143)."""
    # Until the command line takes signals over there is nothing to end in order: no traceback of an import either.
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda number, _: os._exit(128 + number))
    # Imports make objects that stay: looking through all of them again and again took a tenth of a start.
    gc.set_threshold(50_000, 20, 50)
    try:
        from oms.cli.entry import run

        code = run(sys.argv[1:])
    except ModuleNotFoundError as missing:
        if _is_ours(missing):
            raise
        _say_dependencies_missing()
        code = 2
    except KeyboardInterrupt as interrupted:  # before the command line had taken signals over, or after its end
        code = getattr(interrupted, "exit_code", 130)
    sys.exit(code)


def _is_ours(missing: ModuleNotFoundError) -> bool:
    return (missing.name or "").split(".")[0] == "oms"


def _say_dependencies_missing() -> None:
    quickstart = Path(__file__).resolve().parent.parent / "quickstart.py"
    remedy = "python3 quickstart.py" if quickstart.exists() else "python3 -m pip install oms"
    sys.stderr.write(f"error: dependencies missing, run: {remedy}{os.linesep}")


if __name__ == "__main__":
    main()
