"""Lives of oms over one ledger and one exchange, for tests that end them.

A `Nursery` is a zygote seen from the test; a `World` is one exchange, one ledger and one file of orders, in which
lives are run: `world.live("submit", FILE)` to its end, `world.live(..., nth=17)` until the 17th seam, `world.begin`
beside others, `world.start` as a process of its own interpreter.
"""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from oms.ledger import birth
from oms.sandbox.options import ENDPOINT_FILE, KEY_FILE, STATE_FILE, ServeOptions
from tests.sandbox.running import ROOT, Sandbox

T = TypeVar("T")
KILLED = -9
EXCHANGE = "exchange"
LEDGER = Path("ledger", "oms.sqlite3")


class Child:
    """A process forked from a zygote, as far as it is known."""

    def __init__(self) -> None:
        self._told: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self.pid = 0
        self.endpoint = ""
        self._status: int | None = None

    def tell(self, answer: dict[str, Any]) -> None:
        """Take in what the zygote says."""
        self._told.put(answer)

    def begun(self) -> "Child":
        """Wait until it runs (an exchange: until it listens)."""
        answer = self._told.get(timeout=60)
        self.pid, self.endpoint = answer["pid"], answer.get("endpoint", "")
        return self

    def wait(self, timeout_s: float = 60) -> int:
        """Wait for its end; the exit code, negative for a signal."""
        if self._status is None:
            self._status = self._told.get(timeout=timeout_s)["status"]
        return os.waitstatus_to_exitcode(self._status)

    def kill(self, number: int = signal.SIGKILL) -> None:
        os.kill(self.pid, number)


class Nursery:
    """A zygote process."""

    module = "tests.crash.zygote"  # what it runs

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._children: dict[int, Child] = {}
        self._numbers = itertools.count()
        self._process = subprocess.Popen(
            [sys.executable, "-m", self.module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            text=True,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def fork(self, **job: Any) -> Child:
        """Begin one job."""
        child = Child()
        with self._lock:
            number = next(self._numbers)
            self._children[number] = child
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps({"job": number, **job}) + "\n")
            self._process.stdin.flush()
        return child.begun()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            answer = json.loads(line)
            self._children[answer["job"]].tell(answer)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._listener.join(timeout=30)
        self._process.stdout.close()


class ForkedSandbox(Sandbox):
    """A sandbox exchange forked from a zygote: 50 ms instead of a second."""

    def __init__(self, options: ServeOptions, nursery: Nursery) -> None:
        self._nursery = nursery
        super().__init__(options)

    def _start(self) -> None:
        self._child = self._nursery.fork(do="serve", arguments=self.options.arguments())
        self.endpoint = json.loads(self._child.endpoint)
        self.pid = self._child.pid
        self.base_url = self.endpoint["base_url"]
        self.key_id = self.endpoint["key_id"]
        self.private_key_path = Path(self.endpoint["private_key_path"])
        self.private_pem = self.private_key_path.read_bytes()

    def restart(self) -> None:
        """Start again on the same directory and port, after `kill`."""
        self._start()

    def _end(self, number: int) -> int:
        if self._child._status is None:
            self._child.kill(number)
        return self._child.wait()


@dataclass(frozen=True, slots=True)
class Life:
    """How one life went."""

    code: int  # the exit code; KILLED
    seams: list[str]  # those it passed, in order
    out: str
    err: str

    @property
    def was_killed(self) -> bool:
        return self.code == KILLED

    @property
    def orders(self) -> list[dict[str, Any]]:
        """The order records of `-o json`."""
        found: list[dict[str, Any]] = json.loads(self.out)["orders"]
        return found

    def __str__(self) -> str:
        last = f"; last seam {len(self.seams)} {self.seams[-1]}" if self.seams else ""
        return f"exit {self.code}{last}\n{self.err}"


@dataclass(slots=True)
class Living:
    """A life that may still go on."""

    child: Child
    place: Path

    def seams(self) -> list[str]:
        """The seams it has passed so far."""
        trace = self.place / "trace"
        return trace.read_text().splitlines() if trace.exists() else []

    def end(self, timeout_s: float = 60) -> Life:
        """Wait for its end."""
        code = self.child.wait(timeout_s)
        return Life(code, self.seams(), self._told("stdout"), self._told("stderr"))

    def _told(self, name: str) -> str:
        """What it has written; nothing, where it was killed before it had a place to write to."""
        path = self.place / name
        return path.read_text() if path.exists() else ""


@dataclass(slots=True)
class World:
    """One exchange, one ledger, one file of orders."""

    directory: Path
    sandbox: Sandbox
    nursery: Nursery
    settings: dict[str, str]
    begun: int = 0

    @property
    def ledger(self) -> Path:
        return self.directory / LEDGER

    @property
    def ledger_in_use(self) -> Path:
        """Where the settings point to."""
        return Path(self.env["OMS_LEDGER__URL"].removeprefix("sqlite:///"))

    @property
    def exchange(self) -> Path:
        return self.sandbox.options.dir / STATE_FILE

    @property
    def env(self) -> dict[str, str]:
        """All that a life sees of its surroundings."""
        return {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self.directory),
            "PYTHONPATH": str(ROOT),
            "OMS_ENVIRONMENT": "sandbox",
            "OMS_LEDGER__URL": f"sqlite:///{self.ledger}",
            "OMS_VENUE__SANDBOX__BASE_URL": self.sandbox.base_url,
            "OMS_VENUE__SANDBOX__KEY_ID": self.sandbox.key_id,
            "OMS_VENUE__SANDBOX__PRIVATE_KEY_PATH": str(self.sandbox.private_key_path),
            **{f"OMS_{name.upper()}": value for name, value in self.settings.items()},
        }

    def file(self, rows: Sequence[dict[str, Any]], name: str = "orders.jsonl") -> Path:
        """A file of these rows."""
        path = self.directory / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    def begin(
        self,
        *argv: str | Path,
        nth: int = 0,
        at: str = "",
        env: dict[str, str] | None = None,
        largest_file: int = 0,
    ) -> "Living":
        """Begin one command line; SIGKILL at its nth seam, or at the nth whose name has `at` in it.

        No file may grow beyond `largest_file` bytes (0: without limit).
        """
        self.begun += 1
        place = self.directory / f"life{self.begun}"
        place.mkdir()
        job = {"argv": list(map(str, argv)), "env": {**self.env, **(env or {})}, "dir": str(place)}
        return Living(self.nursery.fork(do="live", **job, nth=nth, at=at, largest_file=largest_file), place)

    def live(self, *argv: str | Path, **how: Any) -> Life:
        """As `begin`, and wait for its end."""
        return self.begin(*argv, **how).end()

    def start(self, *argv: str | Path, **options: Any) -> "subprocess.Popen[str]":
        """Start one command line as a real process of its own interpreter."""
        return self._interpret(["-m", "oms", *map(str, argv)], **options)

    def program(self, text: str) -> "subprocess.Popen[str]":
        """Start a Python program that uses oms."""
        return self._interpret(["-c", text])

    def _interpret(self, arguments: list[str], **options: Any) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, *arguments],
            env=self.env,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options},
        )


def wait_for(fact: Callable[[], object], timeout_s: float = 20) -> None:
    """Return as soon as the fact holds; fail when it does not within the time."""
    deadline = time.monotonic() + timeout_s
    while not fact():
        assert time.monotonic() < deadline, "it has not come about"
        time.sleep(0.02)


def side_by_side(cases: Sequence[T], run: Callable[[T], list[str]], at_a_time: int) -> list[str]:
    """What `run` finds wrong with any of the cases; most of each is waiting, so they wait together."""
    with ThreadPoolExecutor(at_a_time) as pool:
        return [each for found in pool.map(run, cases) for each in found]


@contextmanager
def new_world(directory: Path, nursery: Nursery, settings: dict[str, str], **options: Any) -> Iterator[World]:
    """A world in `directory`, which may hold one already; `settings` are keys such as submit__ttl_s."""
    exchange = directory / EXCHANGE
    exchange.mkdir(parents=True, mode=0o700, exist_ok=True)
    sandbox = ForkedSandbox(ServeOptions(dir=exchange, **options), nursery)
    try:
        yield World(directory, sandbox, nursery, settings)
    finally:
        sandbox.session.close()
        sandbox.kill()


def give_key(directory: Path, key: Path) -> None:
    """Let the exchange of that world use a key that is there already: making one takes longer than a life."""
    exchange = directory / EXCHANGE
    exchange.mkdir(parents=True, mode=0o700)
    shutil.copy(key, exchange / KEY_FILE)
    (exchange / KEY_FILE).chmod(0o600)


def copy_world(template: Path, to: Path) -> None:
    """The files of a world where nothing runs; its ledger is told that it has not been copied."""
    shutil.copytree(template, to, ignore=shutil.ignore_patterns(ENDPOINT_FILE, "life*"))
    mark = to / LEDGER.with_name(LEDGER.name + ".mark")
    if mark.exists():
        said = json.loads(mark.read_text()) | {"file": birth.identity(to / LEDGER)}
        mark.write_text(json.dumps(said).ljust(200))
