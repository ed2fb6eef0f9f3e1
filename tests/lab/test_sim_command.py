"""`oms lab` as a user runs it: figures and exit code 0, or the seed that failed, its files and exit code 1."""

import json
from pathlib import Path

import pytest

from oms.cli.entry import run
from oms.lab import campaign, crew
from oms.lab.crew import campaigns
from oms.lab.scene import Scene


def test_a_campaign_that_ends_well_is_told_in_figures(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["lab", "--seed", "5", "--campaigns", "1", "--keep", str(tmp_path), "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert (told["ok"], told["first_seed"], told["campaigns"]) == (True, 5, 1)
    assert told["lives"] > told["crashes"]
    assert told["duplicates"] == told["lost"] == told["breaches"] == 0
    assert list(tmp_path.iterdir()) == []


def test_a_broken_promise_is_told_with_its_seed_and_its_files_are_kept(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scene, "doubled", lambda self: ["I3: 0/0 is 2 orders: a, b"])
    kept = tmp_path / "kept"
    assert run(["lab", "--seed", "6", "--campaigns", "1", "--keep", str(kept)]) == 1
    told = capfd.readouterr()
    assert dict(line.split("\t") for line in told.out.splitlines())["duplicates"] == "1"
    assert "seed 6: I3: 0/0 is 2 orders" in told.err
    trace = (kept / "seed-6" / "trace.txt").read_text()
    assert trace.startswith("reproduce: oms lab --seed 6 --campaigns 1\n")
    assert (kept / "seed-6" / "ledger").is_dir()


def test_two_processes_run_the_same_campaigns_as_one(tmp_path: Path) -> None:
    one, two = (campaigns(20, jobs=jobs, most=3, seconds=600, kept=tmp_path) for jobs in (1, 2))
    assert one.fields() == two.fields()
    assert one.campaigns == 3


def test_a_campaign_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "scratch"
    place.mkdir()
    monkeypatch.setattr(crew, "scratch", lambda: place)
    campaigns(7, jobs=1, most=1, seconds=600, kept=tmp_path / "kept")
    assert list(place.iterdir()) == []
    assert campaign.scratch().is_dir()
