"""The planted bugs fit the code as it is; whether they are found is asked in `test_mutants.py`."""

import shutil
from pathlib import Path

import pytest

from tests.lab.mutants.planting import PROJECT, Mutant, apply, mutants


@pytest.mark.parametrize("mutant", mutants(), ids=lambda each: each.name)
def test_every_bug_can_still_be_planted(mutant: Mutant, tmp_path: Path) -> None:
    for file in {patch.file for patch in mutant.patches}:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / file, tmp_path / file)
    for patch in mutant.patches:
        apply(patch, tmp_path)
        compile((tmp_path / patch.file).read_text(encoding="utf-8"), patch.file, "exec")
