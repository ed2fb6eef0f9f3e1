"""The page on speed: in step with the record of the run that it shows; its charts can be read anywhere."""

import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

PROJECT = Path(__file__).resolve().parent.parent
DOCS = PROJECT / "docs"
BENCHMARKS = PROJECT / "benchmarks"
CHARTS = sorted(DOCS.glob("performance-*.svg"))


def python(*words: str) -> str:
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True, cwd=PROJECT)
    return done.stdout


def test_the_page_and_its_charts_are_in_step_with_the_record_of_the_run() -> None:
    assert python(str(DOCS / "write_performance.py"), "--check") == "in step\n"


def test_the_page_shows_every_chart() -> None:
    page = (DOCS / "performance.md").read_text(encoding="utf-8")
    assert re.findall(r"!\[[^\]]+\]\((performance-[a-z]+\.svg)\)", page) != []
    assert {*re.findall(r"\((performance-[a-z]+\.svg)\)", page)} == {chart.name for chart in CHARTS}


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.stem)
def test_a_chart_is_readable_on_light_and_dark_and_asks_the_net_for_nothing(chart: Path) -> None:
    text = chart.read_text(encoding="utf-8")
    ElementTree.fromstring(text)
    assert "prefers-color-scheme: dark" in text
    assert re.findall(r"https?://\S+?(?=[\"'\s])", text) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"@import|@font-face|url\(|<script|<image", text)


def test_the_record_names_machine_commit_and_date_and_holds_every_sample() -> None:
    record = json.loads((DOCS / "performance.json").read_text(encoding="utf-8"))
    assert {"cpu", "cores", "kernel", "python", "sqlite", "libraries"} <= set(record["machine"])
    for run in record["benchmarks"]:
        assert re.fullmatch(r"[0-9a-f]{40}\+?", run["commit"])
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", run["date"])
        assert len(run["probes"]) == 2
        assert all(figure["samples"] for figure in run["figures"])


def test_every_claim_that_a_benchmark_names_is_known_and_named_once() -> None:
    known = set(re.findall(r'Part\(\s*"([a-z0-9-]+)"', (BENCHMARKS / "claims.py").read_text(encoding="utf-8")))
    assert len(known) > 20
    named = [
        (key, path.name)
        for path in sorted(BENCHMARKS.glob("*.py"))
        for key in set(re.findall(r'told\.claim\(\s*"([a-z0-9-]+)"', path.read_text(encoding="utf-8")))
    ]
    assert {key for key, _ in named} <= known
    assert len({key for key, _ in named}) == len(named)


def test_each_benchmark_can_be_listed_by_what_it_is() -> None:
    told = python("-m", "benchmarks", "--list").splitlines()
    assert all(re.fullmatch(r"[a-z]+ +\S.*", line) for line in told)
    assert {line.split()[0] for line in told} >= {"pipeline", "record", "resume", "rate", "startup"}


def test_a_benchmark_that_does_not_exist_is_named_with_those_that_do() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "speed"], capture_output=True, text=True, check=False, cwd=PROJECT
    )
    assert done.returncode == 2
    assert "no such benchmark: speed; there are " in done.stderr
