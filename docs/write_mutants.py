"""Writes the table of planted bugs in docs/reliability.md from their data and from the record of a run.

python docs/write_mutants.py           rewrite what is written by machine
python docs/write_mutants.py --check   say whether it is in step (exit 1 if not)
python docs/write_mutants.py --run     try them all, two at a time, and record what was found first
"""

import json
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.lab.mutants.planting import RECORD, Mutant, Trial, attempt, mutants, trials

PAGE = Path(__file__).resolve().parent / "reliability.md"
BLOCK = re.compile(r"(<!-- written: mutants -->\n).*?(<!-- end -->)", re.DOTALL)


def written(text: str, record: dict[str, Any]) -> str:
    """The page with its table as it should be."""
    return BLOCK.sub(lambda match: match[1] + "\n".join(_table(record)) + "\n" + match[2], text)


def _table(record: dict[str, Any]) -> Iterator[str]:
    planted = mutants()
    bugs = [each for each in planted if not each.equivalent]
    lives = sum(each["lives"] for each in record["well"])
    found = sum(_is_found(each, record) for each in bugs)
    yield f"{len(bugs)} planted, {found} found. The same work without them, {lives:,} lives, finds nothing."
    yield ""
    yield "| planted | what it breaks | found by | where | after |"
    yield "|---|---|---|---|---|"
    for each in bugs:
        rules = ", ".join(record["found"].get(each.name, {}).get("rules", [])) or "**nothing**"
        yield f"| {each.name} | {each.breaks} | {rules} | {_where(each.trial)} | {_after(each, record)} |"
    for each in planted:
        if each.equivalent:
            yield ""
            yield f"Planted, and no bug: *{each.name}* ({each.breaks}): {each.equivalent}"


def _is_found(mutant: Mutant, record: dict[str, Any]) -> bool:
    return bool(set(record["found"].get(mutant.name, {}).get("rules", [])) & set(mutant.by))


def _where(trial: Trial) -> str:
    match trial.tier:
        case "simulation":
            return "simulation" + (f", {trial.page} items a page" if trial.page else "")
        case "power":
            return f"power loss, {trial.shown}"
        case "disk":
            return f"failing disk, {trial.shown}"
        case "sockets":
            return f"real sockets, {trial.shown}"
        case _:
            return f"story: {trial.shown}"


def _after(mutant: Mutant, record: dict[str, Any]) -> str:
    found = record["found"].get(mutant.name)
    if found is None:
        return "-"
    lives = f"{found['lives']} {'life' if found['lives'] == 1 else 'lives'}"
    return f"{lives}, {found['runs']} of {mutant.trial.budget} seeds" if mutant.trial.tier == "simulation" else lives


def run() -> dict[str, Any]:
    """Try all of them, and the same work without them; what was found, told line by line as it comes."""
    planted = mutants()
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(_tried, planted))
        well = list(pool.map(attempt, trials(planted)))
    assert all(not each.said for each in well), [each.said for each in well if each.said]
    return {
        "found": {mutant.name: each for mutant, each in zip(planted, found, strict=True)},
        "well": [
            {"trial": f"{trial.tier}, {trial.shown}", "lives": each.lives, "runs": each.runs}
            for trial, each in zip(trials(planted), well, strict=True)
        ],
    }


def _tried(mutant: Mutant) -> dict[str, Any]:
    found = attempt(mutant.trial, mutant.patches)
    print(f"{mutant.name}: {', '.join(found.rules) or 'nothing'} after {found.lives} lives", flush=True)
    return found.record


def main() -> int:
    if "--run" in sys.argv[1:]:
        RECORD.write_text(json.dumps(run(), indent=1) + "\n", encoding="utf-8")
    text = PAGE.read_text(encoding="utf-8")
    wanted = written(text, json.loads(RECORD.read_text(encoding="utf-8")))
    if "--check" in sys.argv[1:]:
        print("in step" if wanted == text else f"{PAGE.name} is out of step: run python docs/write_mutants.py")
        return int(wanted != text)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
