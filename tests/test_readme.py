"""Every command that these pages show is typed for real, in order, in a home of its own, against the sandbox.

OMS_TEST_WRITE_PAGES=1 writes what was said into the pages instead of comparing, but for outputs shortened by `...`.
"""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from subprocess import PIPE

import pages
import pytest
from pages import PROJECT, Command, Terminal

from oms.cli.playground import wait_until
from oms.lab.judge import arrived
from oms.sandbox.launch import launch
from oms.sandbox.options import STATE_FILE, ServeOptions

WRITES = os.environ.get("OMS_TEST_WRITE_PAGES") == "1"
PAGES = ("README.md", "docs/recovery.md", "docs/from-the-quick-start-guide.md", "docs/python.md")


# Not tmp_path: it is long, and a page's tables are as wide as the paths in them.
@pytest.fixture
def terminal(name: str) -> Iterator[Terminal]:
    with tempfile.TemporaryDirectory(prefix="", ignore_cleanup_errors=True) as directory:
        yield pages.fresh_clone(Path(directory), is_active=name != "README.md")
        pages.stop_exchanges(Path(directory))


def demo_exchange(terminal: Terminal) -> None:
    """A sandbox stands in for Kalshi's demo; its key is where the page says that the reader's key lies."""
    directory = terminal.home / "demo-exchange"
    exchange = launch(directory, ServeOptions(dir=directory, idle_exit_s=600))
    key = terminal.home / ".config" / "oms" / "demo.pem"
    key.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(exchange.private_key_path, key)
    key.chmod(0o644)
    terminal.environment |= {"OMS_VENUE__DEMO__BASE_URL": exchange.base_url, "OMS_VENUE__DEMO__KEY_ID": exchange.key_id}


def few_tests(terminal: Terminal) -> None:
    """The suite would run itself within itself: one file of it is enough here."""
    terminal.environment["PYTEST_ADDOPTS"] = "-o testpaths=tests/test_units.py -p no:cacheprovider"


def killed_batch(terminal: Terminal) -> None:
    """Submit the example's rows, and SIGKILL when the exchange has taken the first one and its answer hangs."""
    directory = terminal.home / ".local" / "state" / "oms" / "sandbox"
    hangs = json.dumps([{"match": {"operation": "CreateOrderV2"}, "fault": {"kind": "hang", "ms": 60_000}}])
    launch(directory, ServeOptions(dir=directory, idle_exit_s=600, skew_s=2, faults=hangs))
    one_by_one = {"OMS_SUBMIT__CONCURRENCY": "1", "OMS_SUBMIT__BATCH_SIZE": "1"}
    submit = [str(terminal.clone / ".venv" / "bin" / "python"), "-m", "oms", "submit", "examples/orders.csv"]
    with subprocess.Popen(
        submit, cwd=terminal.clone, env={**terminal.variables(), **one_by_one}, stdout=PIPE, stderr=PIPE
    ) as process:
        try:
            wait_until(lambda: len(arrived(directory / STATE_FILE)) == 1, "the first order arrived")
        finally:
            process.kill()
            process.communicate()


PREPARATIONS = {"demo exchange": demo_exchange, "few tests": few_tests, "killed batch": killed_batch}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", PAGES)
def test_every_command_of_the_page_prints_what_the_page_shows(name: str, terminal: Terminal) -> None:
    page = PROJECT / name
    said = {command: output for command, output, _code in pages.play(page, terminal, PREPARATIONS)}
    assert said
    wrong = {command: output for command, output in said.items() if not shows(command, output)}
    assert not [command for command, output in said.items() if "internal error" in output or "Traceback" in output]
    if WRITES:
        page.write_text(rewritten(page.read_text(encoding="utf-8"), wrong), encoding="utf-8")
        pytest.skip(f"{len(wrong)} outputs of {name} were written")
    assert not wrong, "\n".join(difference(*each) for each in wrong.items())


def shows(command: Command, output: str) -> bool:
    # Setting up happens on the first run only, and the clone here is set up already.
    lines = command.shown.splitlines(keepends=True)
    return pages.agrees("".join(line for line in lines if not line.startswith("setup: ")), output)


def difference(command: Command, output: str) -> str:
    return f"line {command.line}: {command.words}\n--- shown\n{command.shown}--- said\n{output}"


def rewritten(text: str, wrong: Mapping[Command, str]) -> str:
    """The page with these outputs put in the place of what it shows; a shortened one is left for a person."""
    for command, output in reversed(wrong.items()):
        if pages.ELISION not in command.shown.splitlines():
            kept = [line for line in command.shown.splitlines() if line.startswith("setup: ")]
            lines = [*kept, *(line.rstrip() for line in output.splitlines())]
            begin, end = command.place
            text = text[:begin] + "".join(f"{line}\n" for line in lines) + text[end:]
    return text
