"""Starting the sandbox detached: once per directory, outliving its starter, ending itself when unused."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from oms.sandbox.launch import NotStarted, Running, launch, running
from oms.sandbox.options import ENDPOINT_FILE, LOG_FILE, ServeOptions, read_arguments
from tests.sandbox.running import ROOT


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    home = tmp_path / "sandbox"
    yield home
    found = running(home)
    if found is not None:
        os.kill(found.pid, signal.SIGKILL)
        wait_for(lambda: is_gone(found.pid))


def wait_for(fact: Callable[[], bool], deadline_s: float = 15) -> None:
    end = time.monotonic() + deadline_s
    while not fact():
        assert time.monotonic() < end, "it never came"
        threading.Event().wait(0.02)


def is_gone(pid: int) -> bool:
    """Ended, whether or not somebody has looked at how."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def is_up(base_url: str) -> bool:
    with urllib.request.urlopen(f"{base_url}/exchange/status", timeout=5) as answer:
        return bool(json.load(answer)["trading_active"])


def test_launch_starts_one_and_finds_it_again(directory: Path) -> None:
    assert running(directory) is None
    first = launch(directory)
    assert first.is_new
    assert is_up(first.base_url)
    again = launch(directory)
    assert (again.pid, again.base_url, again.key_id, again.is_new) == (first.pid, first.base_url, first.key_id, False)
    assert Path(first.private_key_path).exists()


def test_one_that_answers_late_is_found_all_the_same(directory: Path) -> None:
    slow = ServeOptions(dir=directory, idle_exit_s=60, latency_ms=10_000)
    assert launch(directory, slow).pid == launch(directory).pid


def test_launch_as_a_program_prints_what_it_found(directory: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-m", "oms.sandbox.launch", str(directory)],
        cwd=ROOT, timeout=60, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = running(directory)
    assert found is not None
    assert json.loads(said.stdout) == {
        "base_url": found.base_url,
        "key_id": found.key_id,
        "private_key_path": found.private_key_path,
        "pid": found.pid,
        "is_new": True,
    }


def test_two_starters_at_once_end_with_one_sandbox(directory: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from oms.sandbox.launch import launch;"
        "print(launch(Path(sys.argv[1])).pid)"
    )
    starters = [
        subprocess.Popen([sys.executable, "-c", program, str(directory)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    pids = {starter.communicate(timeout=60)[0] for starter in starters}
    assert len(pids) == 1
    assert all(starter.returncode == 0 for starter in starters)
    assert int(pids.pop()) == launch(directory).pid


def test_it_outlives_a_killed_starter(directory: Path) -> None:
    program = (
        "import os, sys, signal; from pathlib import Path; from oms.sandbox.launch import launch;"
        "launch(Path(sys.argv[1])); os.killpg(os.getpgid(0), signal.SIGKILL)"
    )
    starter = subprocess.run(
        [sys.executable, "-c", program, str(directory)], cwd=ROOT, timeout=60, start_new_session=True, check=False
    )
    assert starter.returncode == -signal.SIGKILL
    found = running(directory)
    assert found is not None
    assert is_up(found.base_url)


def test_after_its_death_it_comes_back_with_the_same_key_and_address(directory: Path) -> None:
    first = launch(directory)
    os.kill(first.pid, signal.SIGKILL)
    wait_for(lambda: is_gone(first.pid))
    assert running(directory) is None
    second = launch(directory)
    assert second.pid != first.pid
    assert (second.base_url, second.key_id) == (first.base_url, first.key_id)


def test_a_port_that_somebody_else_took_is_not_taken_for_it(directory: Path, tmp_path: Path) -> None:
    first = launch(directory)
    other = tmp_path / "other"
    other.mkdir()
    told = json.loads((directory / ENDPOINT_FILE).read_text())
    (other / ENDPOINT_FILE).write_text(json.dumps(told))
    assert running(other) is None
    elsewhere = launch(other)
    assert elsewhere.base_url != first.base_url
    os.kill(elsewhere.pid, signal.SIGKILL)
    wait_for(lambda: is_gone(elsewhere.pid))


@pytest.mark.slow
def test_it_ends_itself_when_nobody_asks_any_more(directory: Path) -> None:
    found: Running = launch(directory, ServeOptions(dir=directory, idle_exit_s=1))
    wait_for(lambda: is_gone(found.pid))
    assert running(directory) is None


def test_what_keeps_it_from_starting_is_told(directory: Path) -> None:
    with pytest.raises(NotStarted, match="fault script"):
        launch(directory, ServeOptions(dir=directory, faults="[}"))
    assert "fault script" in (directory / LOG_FILE).read_text()


def test_a_second_server_of_one_directory_is_refused(directory: Path) -> None:
    launch(directory)
    second = subprocess.run(
        [sys.executable, "-m", "oms.sandbox", "--dir", str(directory)],
        cwd=ROOT, timeout=60, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (second.returncode, second.stdout) == (75, "")
    assert "another sandbox serves" in second.stderr


def test_the_command_line_says_what_the_options_say(tmp_path: Path) -> None:
    plain = ServeOptions(dir=tmp_path)
    assert plain.arguments() == ["--dir", str(tmp_path)]
    full = ServeOptions(
        dir=tmp_path,
        port=1,
        v1_compat=True,
        latency_ms=2,
        tier="prime",
        read_lag_ms=3,
        dedupe="open_only",
        skew_s=4,
        faults="[]",
        fault_rate=0.5,
        seed="s",
        idle_exit_s=5,
        clock_offset_ms=-6,
    )
    assert read_arguments(plain.arguments()) == plain
    assert read_arguments(full.arguments()) == full
