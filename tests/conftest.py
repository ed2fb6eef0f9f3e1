"""What every test stands on: an empty environment of its own, and no network but this machine's."""

import itertools
import os
import socket
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Two busy cores make single examples slow for reasons that are not ours; CI keeps Hypothesis' own "ci" profile.
settings.register_profile("here", deadline=None)
if not os.environ.get("CI"):
    settings.load_profile("here")

XDG = ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR")
_serial = itertools.count()


def _is_ours(name: str) -> bool:
    return name.startswith(("OMS_", "KALSHI_")) and not name.startswith("OMS_TEST_")


def _is_here(address: Any) -> bool:
    if not isinstance(address, tuple):
        return True  # a Unix socket
    host = str(address[0])
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    """Within this process a socket connects to this machine only; anything else is a mistake in the test."""

    def guarded(real: Any) -> Any:
        def connect(self: socket.socket, address: Any) -> Any:
            assert _is_here(address), f"a test tried to reach {address!r}"
            return real(self, address)

        return connect

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded(socket.socket.connect))
        patch.setattr(socket.socket, "connect_ex", guarded(socket.socket.connect_ex))
        yield


@pytest.fixture(scope="session")
def _homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("homes")


def _settle(patch: pytest.MonkeyPatch, home: Path) -> None:
    for name in [name for name in os.environ if _is_ours(name)]:
        patch.delenv(name)
    for name in XDG:
        patch.setenv(name, str(home / name.removeprefix("XDG_").lower()))


@pytest.fixture(scope="session", autouse=True)
def _session_environment(_homes: Path) -> Iterator[None]:
    """The developer's own settings and keys are out of sight, for fixtures of any scope and for child processes."""
    with pytest.MonkeyPatch.context() as patch:
        _settle(patch, _homes / "session")
        yield


@pytest.fixture(autouse=True)
def _own_environment(_homes: Path, _session_environment: None) -> Iterator[None]:
    """Each test has configuration and state directories of its own; they exist once something is written there."""
    with pytest.MonkeyPatch.context() as patch:
        _settle(patch, _homes / str(next(_serial)))
        yield


LAB = Path(__file__).parent / "lab"
AT_A_TIME = 4
LONGEST = (
    *("test_crash_seams.py", "test_crash_campaign.py", "test_quickstart.py", "test_readme.py"),
    *("test_steps_lives.py", "test_real_kills.py", "test_stateful_world.py", "test_real_random.py"),
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The laboratory is a run of its own, but for its judge and its catalogue.

    Where several tests run at a time each worker begins with its share of the longest: none is left to the end.
    """
    for item in items:
        if item.path.is_relative_to(LAB) and not item.path.name.startswith(
            ("test_judge", "test_faults_catalogue", "test_planting")
        ):
            item.add_marker("lab")
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    slow = [item for item in items if item.path.name in LONGEST]
    rest = [item for item in items if item.path.name not in LONGEST]
    ordered: list[pytest.Item] = []
    for part in range(AT_A_TIME):
        ordered += slow[part::AT_A_TIME]
        ordered += rest[part * len(rest) // AT_A_TIME : (part + 1) * len(rest) // AT_A_TIME]
    items[:] = ordered


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What tests have counted (record_property("counted", ...)), and that the laboratory's long runs were left out."""
    reports = [report for found in terminalreporter.stats.values() for report in found]
    told = {text for report in reports for name, text in getattr(report, "user_properties", ()) if name == "counted"}
    for text in sorted(told):
        terminalreporter.write_line(text)
    if terminalreporter.config.option.markexpr == "not lab":
        terminalreporter.write_line("left out: the laboratory's long runs (python3 quickstart.py test -m lab)")
