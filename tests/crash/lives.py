"""Lives of oms over one ledger and one exchange, for tests that end them.

A `Nursery` is a zygote seen from the test; a `World` is one exchange, one ledger and one file of orders, in which
lives are run: `world.live("submit", FILE)` to its end, `world.live(..., nth=17)` until the 17th seam.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oms.sandbox.options import ENDPOINT_FILE, KEY_FILE, STATE_FILE, ServeOptions
from tests.sandbox.running import ROOT, Sandbox

KILLED = -9
EXCHANGE = "exchange"
LEDGER = Path("ledger", "oms.sqlite3")


class Nursery:
    """A zygote process. One life at a time; several exchanges."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            text=True,
        )

    def ask(self, **job: Any) -> dict[str, Any]:
        """Have one job done."""
        with self._lock:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()
            answer: dict[str, Any] = json.loads(self._process.stdout.readline())
            return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()


class ForkedSandbox(Sandbox):
    """A sandbox exchange forked from a zygote: 50 ms instead of a second."""

    def __init__(self, options: ServeOptions, nursery: Nursery) -> None:
        self._nursery = nursery
        self._is_up = False
        super().__init__(options)

    def _start(self) -> None:
        answer = self._nursery.ask(do="serve", arguments=self.options.arguments())
        self._is_up = True
        self.pid = answer["pid"]
        self.endpoint = json.loads(answer["endpoint"])
        self.base_url = self.endpoint["base_url"]
        self.key_id = self.endpoint["key_id"]
        self.private_key_path = Path(self.endpoint["private_key_path"])
        self.private_pem = self.private_key_path.read_bytes()

    def _end(self, number: int) -> int:
        if self._is_up:
            self._is_up = False
            return int(self._nursery.ask(do="end", pid=self.pid)["status"])
        return 0


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
class World:
    """One exchange, one ledger, one file of orders."""

    directory: Path
    sandbox: Sandbox
    nursery: Nursery
    settings: dict[str, str]

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

    def live(self, *argv: str | Path, nth: int = 0, at: str = "") -> Life:
        """Run one command line; SIGKILL at its nth seam, or at the nth whose name has `at` in it."""
        job = {"argv": list(map(str, argv)), "env": self.env, "dir": str(self.directory), "nth": nth, "at": at}
        status = self.nursery.ask(do="live", **job)["status"]
        read = {name: (self.directory / name).read_text() for name in ("stdout", "stderr", "trace")}
        code = os.waitstatus_to_exitcode(status)
        return Life(code, read["trace"].splitlines(), read["stdout"], read["stderr"])

    def start(self, *argv: str | Path, **options: Any) -> "subprocess.Popen[str]":
        """Start one command line as a real process of its own interpreter."""
        return subprocess.Popen(
            [sys.executable, "-m", "oms", *map(str, argv)],
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
    shutil.copytree(template, to, ignore=shutil.ignore_patterns(ENDPOINT_FILE))
    mark = to / LEDGER.with_name(LEDGER.name + ".mark")
    if mark.exists():
        said = json.loads(mark.read_text()) | {"inode": (to / LEDGER).stat().st_ino}
        mark.write_text(json.dumps(said).ljust(200))
