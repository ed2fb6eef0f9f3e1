"""The command line over an exchange of the test's own: forked processes with a home, a ledger and streams of their own.

    ended = shell.oms("submit", "orders.csv", "-o", "json")
    ended.code, ended.json["orders"], ended.err

Everything a process shows or leaves is looked at by the canary, and every request goes over a wire that remembers its
signatures.
"""

import csv
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from oms.sandbox.options import ENDPOINT_FILE, KEY_FILE, ServeOptions
from tests.canary import ROOT, Canary, Ended, Wire
from tests.sandbox.running import Sandbox


class Forge:
    """The process that others are forked from, as seen from here."""

    def __init__(self, directory: Path) -> None:
        self._address = str(directory / "forge")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.contract.forge", self._address],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
        )
        wait_for(lambda: Path(self._address).exists() or self._process.poll() is not None, 60)

    def begin(self, **job: Any) -> "Forked":
        """Begin one job; the pid is known when this returns."""
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self._address)
        connection.sendall(json.dumps(job).encode() + b"\n")
        return Forked(connection)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=30)


class Forked:
    """One forked process."""

    def __init__(self, connection: socket.socket) -> None:
        self._lines = connection.makefile()
        connection.close()
        self.pid = int(self._lines.readline())
        self._status: int | None = None

    @property
    def has_ended(self) -> bool:
        """Whether its end has been waited for."""
        return self._status is not None

    def wait(self) -> int:
        """Wait for its end; the exit code, negative for a signal."""
        if self._status is None:
            self._status = int(self._lines.readline())
            self._lines.close()
        return os.waitstatus_to_exitcode(self._status)

    def kill(self, number: int) -> None:
        os.kill(self.pid, number)


class ForgedSandbox(Sandbox):
    """A sandbox exchange that a forge has forked."""

    def __init__(self, options: ServeOptions, forge: Forge, key: Path) -> None:
        self._forge = forge
        options.dir.mkdir(mode=0o700, parents=True)
        shutil.copy(key, options.dir / KEY_FILE)
        super().__init__(options)

    def _start(self) -> None:
        streams = {"stdin": os.devnull, "stdout": os.devnull, "stderr": str(self.options.dir / "stderr")}
        place, argv = str(self.options.dir), self.options.arguments()
        self._child = self._forge.begin(do="serve", argv=argv, env=dict(os.environ), dir=place, **streams)
        wait_for(lambda: self._told().get("pid") == self._child.pid)
        self.endpoint = self._told()
        self.pid = self._child.pid
        self.base_url = self.endpoint["base_url"]
        self.key_id = self.endpoint["key_id"]
        self.private_key_path = Path(self.endpoint["private_key_path"])
        self.private_pem = self.private_key_path.read_bytes()

    def restart(self) -> None:
        """Start again on the same directory and port, after `kill` or `stop`."""
        assert self._child.has_ended, "it still runs"
        self._start()

    def _told(self) -> dict[str, Any]:
        path = self.options.dir / ENDPOINT_FILE
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return found

    def _end(self, number: signal.Signals) -> int:
        if not self._child.has_ended:
            self._child.kill(number)
        return self._child.wait()


@dataclass(frozen=True, slots=True)
class Answer(Ended):
    """A command line that has ended, with its answer read."""

    @property
    def json(self) -> dict[str, Any]:
        """The one object of `-o json`."""
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def orders(self) -> list[dict[str, Any]]:
        """The order records of `-o json`."""
        found: list[dict[str, Any]] = self.json["orders"]
        return found

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The records of `-o jsonl`."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def table(self) -> list[dict[str, str]]:
        """The records of `-o csv`."""
        return list(csv.DictReader(io.StringIO(self.out)))


class Shell:
    """A person's account on this machine, with an exchange to talk to."""

    def __init__(self, directory: Path, forge: Forge, key: Path, canary: Canary) -> None:
        self.directory = directory
        self.home = directory / "home"
        self.home.mkdir()
        self.canary = canary
        self._forge = forge
        self._begun = 0
        self.sandbox = ForgedSandbox(
            ServeOptions(dir=directory / "exchange", tier="unlimited", skew_s=1, idle_exit_s=300), forge, key
        )
        url = urlsplit(self.sandbox.base_url)
        assert url.hostname is not None
        assert url.port is not None
        self.wire = Wire(url.hostname, url.port)
        self.base_url = f"http://127.0.0.1:{self.wire.port}{url.path}"
        self.key = self.home / "key.pem"
        shutil.copy(key, self.key)
        self.key.chmod(0o600)
        canary.guard_key(self.key)
        canary.guard_key(self.sandbox.private_key_path)
        canary.guard_wire(self.wire)
        canary.watch(self.home)

    @property
    def env(self) -> dict[str, str]:
        """All that a process sees of its surroundings."""
        return {
            "HOME": str(self.home),
            "PATH": os.environ.get("PATH", ""),
            "XDG_STATE_HOME": str(self.home / "state"),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "OMS_VENUE__SANDBOX__BASE_URL": self.base_url,
            "OMS_SUBMIT__IN_FLIGHT_HORIZON_S": "0.2",
            "OMS_SUBMIT__BATCH_SIZE": "1",
            "OMS_SUBMIT__CONCURRENCY": "2",
            "OMS_SUBMIT__WAIT_S": "0.5",
            "OMS_VENUE__TIMEOUT_S": "2",
            "KALSHI_API_KEY_ID": self.sandbox.key_id,
            "KALSHI_PRIVATE_KEY_PATH": str(self.key),
        }

    @property
    def ledger(self) -> Path:
        """Where the ledger of the sandbox environment is by default."""
        return self.home / "state" / "oms" / "ledger.sandbox.sqlite3"

    def file(self, name: str, content: str | bytes | Sequence[Mapping[str, Any]]) -> Path:
        """A file in the home directory; rows are written as JSON lines."""
        path = self.home / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, str):
            path.write_text(content)
        else:
            path.write_text("".join(json.dumps(row) + "\n" for row in content))
        return path

    def begin(self, *argv: str | Path, stdin: bytes = b"", env: Mapping[str, str | None] | None = None) -> "Begun":
        """Begin one command line in the home directory; variables set to None are taken away."""
        self._begun += 1
        streams = {name: str(self.directory / f"{self._begun}.{name}") for name in ("stdin", "stdout", "stderr")}
        Path(streams["stdin"]).write_bytes(stdin)
        seen = {name: value for name, value in {**self.env, **(env or {})}.items() if value is not None}
        words = [str(word) for word in argv]
        return Begun(
            self, words, self._forge.begin(do="oms", argv=words, env=seen, dir=str(self.home), **streams), streams
        )

    def oms(self, *argv: str | Path, **how: Any) -> Answer:
        """One command line to its end."""
        return self.begin(*argv, **how).end()

    def process(self, *argv: str | Path, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Answer:
        """The same in an interpreter of its own."""
        ended = self.canary.run(*argv, env={**self.env, **(env or {})}, cwd=self.home, stdin=stdin)
        return Answer(ended.code, ended.out, ended.err)

    def submit(self, rows: Sequence[Mapping[str, Any]], *argv: str, name: str = "orders.jsonl", **how: Any) -> Answer:
        """Place rows, answered as json."""
        return self.oms("submit", self.file(name, rows), "-o", "json", *argv, **how)

    def close(self) -> None:
        self.wire.close()
        self.sandbox.session.close()
        self.sandbox.kill()


@dataclass(frozen=True, slots=True)
class Begun:
    """A command line that may still run."""

    shell: Shell
    words: list[str]
    child: Forked
    streams: dict[str, str]

    def end(self) -> Answer:
        """Wait for its end."""
        code = self.child.wait()
        out, err = (Path(self.streams[name]).read_bytes() for name in ("stdout", "stderr"))
        for name, data in (("stdout", out), ("stderr", err)):
            self.shell.canary.saw(f"{name} of oms {' '.join(self.words)}", data)
        assert b"Traceback" not in err, err.decode()
        assert b"internal error" not in err, err.decode()
        return Answer(code, out.decode(), err.decode())


def wait_for(fact: Callable[[], object], timeout_s: float = 20) -> None:
    """Return as soon as the fact holds; fail when it does not within the time."""
    deadline = time.monotonic() + timeout_s
    while not fact():
        assert time.monotonic() < deadline, "it has not come about"
        time.sleep(0.01)
