"""The demo's private place: one directory, a sandbox exchange in it, and oms as real processes over it.

Nothing of the user's takes part: no configuration, key, variable or ledger of his is read, so that the demo can never
reach another exchange than its own.
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oms.errors import OmsError
from oms.sandbox.launch import launch, running
from oms.sandbox.options import STATE_FILE, ServeOptions

if TYPE_CHECKING:
    from oms.records import OrderRecord

LOCK_FILE = "demo.lock"  # also the mark that the directory is ours to empty
SEED = "7"
STEP_DEADLINE_S = 60.0
POLL_S = 0.01
CONFIG = """\
# Written by `oms demo`. Everything about it is in this directory.
environment = "sandbox"

[venue.sandbox]
base_url = {base_url}
key_id = {key_id}
private_key_path = {private_key_path}

[ledger]
url = {ledger}

[submit]
concurrency = {concurrency}
batch_size = 1
"""


class DemoFailed(OmsError):
    """A step of the demo did not do what it shows."""

    code = "demo_failed"
    exit_code = 1


class DemoBusy(OmsError):
    """The directory is not the demo's to use: another demo runs there, or it holds other files."""

    code = "demo_busy"
    exit_code = 6


@dataclass(frozen=True, slots=True)
class Finished:
    """How one oms process ended."""

    exit_code: int
    answer: Mapping[str, Any]
    said: str


class Playground:
    """A directory with its exchange and ledger."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config = directory / "config.toml"
        self.orders = directory / "orders.csv"
        self.ledger = directory / "ledger.sqlite3"
        self.exchange = directory / "sandbox" / STATE_FILE
        self._environment = _own_environment(directory)

    def open_exchange(self, rules: Sequence[Mapping[str, Any]], concurrency: int) -> None:
        """Start the sandbox exchange with these faults, and write the configuration that leads to it."""
        options = ServeOptions(
            dir=self.exchange.parent, seed=SEED, faults=json.dumps(list(rules)), idle_exit_s=600, tier="premier"
        )
        found = launch(self.exchange.parent, options)
        given = {
            "base_url": found.base_url,
            "key_id": found.key_id,
            "private_key_path": found.private_key_path,
            "ledger": str(self.ledger.absolute()),
        }
        # A JSON string is a TOML string.
        self.config.write_text(
            CONFIG.format(concurrency=concurrency, **{name: json.dumps(value) for name, value in given.items()})
        )

    def close_exchange(self) -> None:
        """Stop the sandbox exchange of this directory, if it runs."""
        found = running(self.exchange.parent)
        if found is None:
            return
        with suppress(ProcessLookupError):
            os.kill(found.pid, signal.SIGTERM)
        wait_until(lambda: running(self.exchange.parent) is None, "the sandbox exchange stopped")

    def preview(self) -> list[str]:
        """The client_order_id of every row of the file."""
        from oms.app import Oms

        with Oms.open(self._loaded()) as oms:
            return [str(row["client_order_id"]) for row in oms.preview_file(self.orders)]

    def listed(self) -> "list[OrderRecord]":
        """The ledger's orders, by row."""
        from oms.app import Oms

        with Oms.open(self._loaded()) as oms:
            return sorted(oms.orders(), key=lambda order: order.row)

    def _loaded(self) -> Any:
        from oms.config import load

        flags = {"environment": "sandbox"}
        if self.config.exists():
            flags["config"] = str(self.config)
        return load(flags, self._environment)

    def start(self, *words: str) -> "subprocess.Popen[bytes]":
        """Start oms as a process of its own; the caller ends it."""
        return subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "oms", "--config", str(self.config), "--json", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self._environment,
        )

    def oms(self, *words: str) -> Finished:
        """Run oms to its end; raises DemoFailed unless it answers in time with exit code 0."""
        with self.start(*words) as process:
            try:
                out, err = process.communicate(timeout=STEP_DEADLINE_S)
            except subprocess.TimeoutExpired as late:
                process.kill()
                raise DemoFailed(f"`oms {' '.join(words)}` did not end within {STEP_DEADLINE_S:g} s") from late
            except BaseException:
                process.kill()
                raise
        said = err.decode(errors="replace").strip()
        if process.returncode != 0:
            raise DemoFailed(f"`oms {' '.join(words)}` ended with exit code {process.returncode}: {said}")
        return Finished(process.returncode, json.loads(out), said)


@contextmanager
def playground(directory: Path, *, leave_running: bool) -> Iterator[Playground]:
    """An empty playground in this directory, for one demo at a time; its exchange is stopped at the end.

    Files of an earlier demo go. Raises DemoBusy when the directory holds anything else, or another demo.
    """
    with _locked(directory):
        place = Playground(directory)
        place.close_exchange()
        _empty(directory)
        try:
            yield place
        finally:
            if not leave_running:
                place.close_exchange()


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    lock = directory / LOCK_FILE
    try:
        if directory.is_dir() and any(directory.iterdir()) and not lock.exists():
            raise DemoBusy(
                f"{directory} holds other files than a demo's", hint="move it away, or run oms demo elsewhere"
            )
        directory.mkdir(mode=0o700, exist_ok=True)
        file = lock.open("w")
    except OSError as failure:
        text = f"cannot write to {directory}: {failure.strerror}"
        raise DemoFailed(text, hint="run oms demo in a directory of your own") from failure
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as held:
            raise DemoBusy(f"another demo runs in {directory}", hint="wait for it, or run oms demo elsewhere") from held
        yield


def _empty(directory: Path) -> None:
    for path in directory.iterdir():
        if path.name == LOCK_FILE:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _own_environment(directory: Path) -> dict[str, str]:
    """The environment of the demo's processes: nothing in it configures oms but this directory."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OMS_", "KALSHI_"))}
    package_home = str(Path(__file__).absolute().parents[2])
    path = os.pathsep.join(filter(None, (package_home, os.environ.get("PYTHONPATH"))))
    home = str(directory.absolute())
    return {**kept, "PYTHONPATH": path, "XDG_STATE_HOME": home, "XDG_CONFIG_HOME": home}


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    """Wait for a fact; raises DemoFailed when it does not come about."""
    deadline = time.monotonic() + STEP_DEADLINE_S
    while not is_so():
        if time.monotonic() > deadline:
            raise DemoFailed(f"waited {STEP_DEADLINE_S:g} s in vain: {what}")
        time.sleep(POLL_S)
