"""One trial, in the process of its own that has the patched package: `python -m tests.lab.mutants.trial '{...}'`.

Prints one line of JSON: which rules were broken first, after how many lives and runs, and in what words.
"""

import json
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import oms
from oms.lab.world import Breach
from oms.venue import account
from tests.lab.mutants import changing, sockets, stories
from tests.lab.mutants.planting import Trial
from tests.lab.mutants.power import power

_RULE = re.compile(r"(?:Breach: )?(I[0-9]+|[a-z][a-z ]+):")
# Words enough to see what happened.
_MOST_SAID = 5


def rule_of(breach: str) -> str:
    """The rule that a breach names: an invariant, a check of a story, or the error that nobody should see."""
    match = _RULE.match(breach)
    return match[1] if match else breach.partition(":")[0]


def attempted(trial: Trial, folder: Path) -> dict[str, Any]:
    """Do the work until something breaks."""
    if trial.page:
        account.PAGE_LIMIT = trial.page
    match trial.tier:
        case "simulation":
            return simulated(trial, folder)
        case "power" | "disk":
            return told(power(trial, folder))
        case _:
            return lived({**stories.STORIES, **changing.STORIES, **sockets.STORIES}[trial.story], folder)


def lived(story: stories.Story, folder: Path) -> dict[str, Any]:
    """A story; what oms should never raise is a breach as well."""
    try:
        return told(story(folder))
    except (Exception, Breach) as exc:
        return told(([f"{type(exc).__name__}: {exc}"], 1, 1))


def told(found: tuple[list[str], int, int]) -> dict[str, Any]:
    breaches, lives, runs = found
    rules = sorted({rule_of(breach) for breach in breaches})
    return {"rules": rules, "lives": lives, "runs": runs, "said": breaches[:_MOST_SAID]}


def simulated(trial: Trial, folder: Path) -> dict[str, Any]:
    """Campaigns from seed 0 on, until one has a breach."""
    from oms.lab import campaign

    lives = 0
    for seed in range(trial.budget):
        outcome = campaign.run(seed, folder / str(seed))
        shutil.rmtree(folder / str(seed))
        lives += outcome.lives
        if outcome.breaches:
            return told((outcome.breaches, lives, seed + 1))
    return told(([], lives, trial.budget))


@contextmanager
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def main(asked: str) -> None:
    with scratch() as folder:
        found = attempted(Trial(**json.loads(asked)), folder)
    print(json.dumps({**found, "oms": str(Path(oms.__file__ or "").resolve())}))


if __name__ == "__main__":
    main(sys.argv[1])
