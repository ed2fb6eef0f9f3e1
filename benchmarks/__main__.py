"""All benchmarks, one process each: `python -m benchmarks [--short] [--json FILE] [NAME...]`.

Ends with 1 when a figure is far off its goal (half of it), else with 0. `--short` takes under a minute, for CI; the
whole takes a quarter of an hour, most of it for the two large ledgers and the million rows.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

# Each is also a command of its own: python benchmarks/NAME.py --help
NAMES = ("startup", "intake", "turns", "pipeline", "rate", "resume", "record", "money")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(NAMES)}; default: all")
    parser.add_argument("--short", action="store_true", help="smaller amounts and fewer samples, for CI")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write all figures there")
    given = parser.parse_args()
    if unknown := set(given.names) - set(NAMES):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    told: list[Any] = []
    codes: dict[str, int] = {}
    for name in given.names or NAMES:
        codes[name], figures = one(name, ["--short"] if given.short else [])
        told += figures
    if given.json:
        given.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    bad = [name for name, code in codes.items() if code]
    print(f"benchmarks: {'far off or failed: ' + ', '.join(bad) if bad else 'none is far off'}")
    return 1 if bad else 0


def one(name: str, options: list[str]) -> tuple[int, list[Any]]:
    """Run one benchmark: its exit code and what it told."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "figures.json")
        script = Path(__file__).with_name(f"{name}.py")
        done = subprocess.run([sys.executable, str(script), *options, "--json", str(file)], check=False)
        return done.returncode, [json.loads(file.read_text(encoding="utf-8"))] if file.exists() else []


if __name__ == "__main__":
    sys.exit(main())
