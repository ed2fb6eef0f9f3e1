"""Bugs planted on purpose, as data: read from the `.toml` files beside this, applied to a copy of the package, tried.

Each names what it breaks, the rules by one of which the laboratory has to find it, and with how much work. One that
cannot be found says under `equivalent` why it is none; it is planted and tried all the same.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent.parent.parent
RECORD = HERE / "record.json"
# Of one trial; the longest takes some twenty seconds of one free core.
_TIMEOUT_S = 300


class Misplanted(Exception):
    """A patch does not apply (any more)."""


@dataclass(frozen=True, slots=True)
class Trial:
    """The work by which a bug is looked for: the same seeds and steps each time, with and without the bug."""

    tier: str  # simulation | power | disk | story | sockets
    budget: int = 1  # campaigns of the simulation from seed 0, or every how many-th step of a power loop
    story: str = ""  # which story, or which scenario of the power tier
    page: int = 0  # items on a page of a listing; 0: as many as the exchange allows

    @property
    def shown(self) -> str:
        """For people."""
        match self.tier:
            case "simulation":
                of = f", {self.page} items a page" if self.page else ""
                return f"{self.budget} campaigns{of}"
            case _:
                return self.story.replace("_", " ")


@dataclass(frozen=True, slots=True)
class Patch:
    """Text that occurs once in a file of the package, and what stands there instead."""

    file: str
    find: str
    put: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """One planted bug."""

    name: str
    breaks: str
    by: tuple[str, ...]  # rules, by one of which it has to be found
    trial: Trial
    patches: tuple[Patch, ...]
    equivalent: str = ""  # why nothing can find it


@dataclass(frozen=True, slots=True)
class Found:
    """What a trial came to."""

    rules: tuple[str, ...] = ()  # that were broken at the first moment anything was
    lives: int = 0  # until then, or of the whole trial
    runs: int = 0  # campaigns, stories or disks, likewise
    said: tuple[str, ...] = field(default=())  # the first breaches in words

    @property
    def record(self) -> dict[str, Any]:
        """As it is written down."""
        return {"rules": list(self.rules), "lives": self.lives, "runs": self.runs}


def mutants() -> list[Mutant]:
    """All of them, theme by theme."""
    return [_read(table) for path in sorted(HERE.glob("*.toml")) for table in tomllib.loads(path.read_text())["mutant"]]


def _read(table: dict[str, Any]) -> Mutant:
    patches = tuple(Patch(**patch) for patch in table.pop("patch"))
    trial = Trial(**table.pop("trial"))
    return Mutant(**{**table, "by": tuple(table.get("by", ())), "trial": trial, "patches": patches})


def trials(planted: list[Mutant]) -> list[Trial]:
    """The work without any bug: of trials that differ in their budget only the longest, which holds the others."""
    longest: dict[tuple[str, str, int], Trial] = {}
    for trial in (mutant.trial for mutant in planted):
        key = (trial.tier, trial.story, trial.page)
        longest[key] = max(longest.get(key, trial), trial, key=lambda each: each.budget)
    return list(longest.values())


def attempt(trial: Trial, patches: tuple[Patch, ...] = ()) -> Found:
    """Try a patched copy in a process of its own. Raises Misplanted, and RuntimeError when the trial itself fails."""
    with planted_copy(patches) as copy:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "tests.lab.mutants.trial", json.dumps(_asked(trial))],
            cwd=copy,
            env=_environment(copy),
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"the trial ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-6000:]}")
        told = json.loads(done.stdout.splitlines()[-1])
        assert Path(told.pop("oms")).is_relative_to(copy), "another package was tried"
    return Found(**{name: tuple(value) if isinstance(value, list) else value for name, value in told.items()})


def _asked(trial: Trial) -> dict[str, Any]:
    return {name: getattr(trial, name) for name in trial.__dataclass_fields__}


def _environment(copy: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OMS_", "KALSHI_"))}
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join([str(copy), str(PROJECT)]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "TMPDIR": str(copy),
    }


@contextmanager
def planted_copy(patches: tuple[Patch, ...]) -> Iterator[Path]:
    """A folder with a copy of the package, patched; gone afterwards. Raises Misplanted."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(
        dir=memory if os.access(memory, os.W_OK) else None, prefix="oms-mutant-"
    ) as folder:
        copy = Path(folder).resolve()
        # What was compiled goes along: it is valid for a file that kept its time.
        shutil.copytree(PROJECT / "oms", copy / "oms")
        for patch in patches:
            apply(patch, copy)
        yield copy


def apply(patch: Patch, copy: Path) -> None:
    """Apply one patch below a folder. Raises Misplanted unless its text is there exactly once."""
    path = copy / patch.file
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    times = text.count(patch.find)
    if times != 1:
        raise Misplanted(f"{patch.file} has this {times} times, not once:\n{patch.find}")
    path.write_text(text.replace(patch.find, patch.put), encoding="utf-8")
