"""All benchmarks, one process each: `python -m benchmarks [--short] [--json FILE] [NAME...]`.

Each prints its figures as they are known; in the end one table has them all, with goals, spreads and verdicts. Ends
with 1 when a benchmark failed or a ratio is far off its goal (half of it), else with 0; figures that depend on the
machine alone never fail. `--short` is for CI: smaller amounts and fewer samples, under two minutes on two cores.
"""

import argparse
import ast
import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))  # where the benchmarks themselves find what they share

from probes import facts
from table import print_table

HERE = Path(__file__).resolve().parent
# Each is also a command of its own, with more options: python benchmarks/NAME.py --help
NAMES = (
    "startup",
    "intake",
    "turns",
    "pipeline",
    "loops",
    "transact",
    "batched",
    "latency",
    "rate",
    "minutes",
    "resume",
    "record",
    "footprint",
    "creates",
    "reconcile",
    "money",
)

Run = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(NAMES)}; default: all")
    parser.add_argument("--short", action="store_true", help="smaller amounts and fewer samples, for CI")
    parser.add_argument(
        "--json", metavar="FILE", type=Path, help="write machine, commit, date, samples and figures there"
    )
    parser.add_argument("--update", action="store_true", help="keep what FILE holds of benchmarks that do not run now")
    parser.add_argument("--list", action="store_true", help="say what each benchmark is, and end")
    given = parser.parse_args()
    if unknown := set(given.names) - set(NAMES):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    if given.list:
        for name in NAMES:
            print(f"{name:12} {purpose(name)}")
        return 0
    names = given.names or NAMES
    runs = []
    for number, name in enumerate(names, 1):
        print(f"\n[{number}/{len(names)}] ", end="", flush=True)
        runs.append(one(name, ["--short"] if given.short else []))
    if given.json:
        write(given.json, runs, is_update=given.update)
    print_table(runs)
    bad = [run["benchmark"] for run in runs if run["exit_code"]]
    print(f"benchmarks: {'far off or failed: ' + ', '.join(bad) if bad else 'none is far off'}")
    return 1 if bad else 0


def purpose(name: str) -> str:
    """The first sentence of a benchmark's docstring."""
    text = ast.get_docstring(ast.parse((HERE / f"{name}.py").read_text(encoding="utf-8"))) or ""
    return text.splitlines()[0].rstrip(".")


def one(name: str, options: list[str]) -> Run:
    """Run one benchmark: what it told, where, when and of which commit."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "figures.json")
        script, measured = HERE / f"{name}.py", commit()
        begun, date = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        done = subprocess.run([sys.executable, str(script), *options, "--json", str(file)], check=False)
        told = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"figures": []}
    took = {"exit_code": done.returncode, "date": date, "took_s": round(time.monotonic() - begun, 1)}
    return {"benchmark": name, "is_short": bool(options), "commit": measured} | took | told


def commit() -> str:
    """The commit that was measured; with + where files differ from it, and empty where that is unknown."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(HERE), *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--", "../oms", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def write(file: Path, runs: list[Run], *, is_update: bool) -> None:
    """The record of these runs, those of other benchmarks kept on request; always in the order of NAMES."""
    machine = facts()
    kept = []
    if is_update and file.exists():
        old = json.loads(file.read_text(encoding="utf-8"))
        if any(old["machine"][what] != machine[what] for what in ("cpu", "cores", "memory_gb")):
            sys.exit(f"{file} was measured on another machine ({old['machine']['cpu']}): give another file to --json")
        kept = old["benchmarks"]
    every = {run["benchmark"]: run for run in [*kept, *runs] if run["benchmark"] in NAMES}
    record = {"machine": machine, "benchmarks": [every[name] for name in NAMES if name in every]}
    file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
