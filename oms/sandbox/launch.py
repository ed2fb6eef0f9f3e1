"""Starting the sandbox as a process of its own, once per directory, whoever asks and however many at once."""

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import msgspec

from oms.sandbox.options import ENDPOINT_FILE, LAUNCH_LOCK, LOG_FILE, ServeOptions

START_WAIT_S = 30.0
PROBE_TIMEOUT_S = 2.0


class Running(msgspec.Struct, frozen=True):
    """A sandbox that answered just now."""

    base_url: str
    key_id: str
    private_key_path: str
    pid: int
    is_new: bool  # started by this call


class NotStarted(Exception):
    """The sandbox did not come up; the message ends with what it wrote to its log."""


def launch(directory: Path, options: ServeOptions | None = None) -> Running:
    """The sandbox of a directory: the one that runs, else a new detached one.

    The child outlives this process, and ends itself after 60 s without a request unless `options` say otherwise;
    options are used only when it has to be started. Raises NotStarted.
    """
    # The skew bound has to be shorter than the in-flight horizon of the sandbox environment (3 s), as it is with the
    # real exchange: what has not arrived by then never will.
    wanted = ServeOptions(dir=directory, idle_exit_s=60, skew_s=2) if options is None else options
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _launching(directory):
        found = running(directory)
        if found is not None:
            return found
        child = _start(wanted)
        return _wait_until_up(directory, child)


def running(directory: Path) -> Running | None:
    """The sandbox that serves a directory now, None if none answers."""
    try:
        told = json.loads((directory / ENDPOINT_FILE).read_text())
        answer = _probe(told["port"])
        # Its port may belong to somebody else by now: only a sandbox of this very directory counts.
        if answer.get("pid") != told["pid"] or answer.get("dir") != str(directory.absolute()):
            return None
        return Running(told["base_url"], told["key_id"], told["private_key_path"], told["pid"], False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _probe(port: int) -> dict[str, object]:
    # Straight to the socket: a proxy from the environment has no business here.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port}/sandbox/control", timeout=PROBE_TIMEOUT_S) as answer:
        document = json.load(answer)
    return document if isinstance(document, dict) else {}


@contextlib.contextmanager
def _launching(directory: Path) -> Iterator[None]:
    with (directory / LAUNCH_LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _start(options: ServeOptions) -> "subprocess.Popen[bytes]":
    # The child must find this very package, also where it was never installed.
    home = str(Path(__file__).absolute().parents[2])
    inherited = os.environ.get("PYTHONPATH")
    environment = {**os.environ, "PYTHONPATH": f"{home}{os.pathsep}{inherited}" if inherited else home}
    with (options.dir / LOG_FILE).open("ab") as log:
        return subprocess.Popen(  # noqa: S603, our own interpreter and module
            [sys.executable, "-m", "oms.sandbox", *options.arguments()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            env=environment,
            start_new_session=True,
        )


def _wait_until_up(directory: Path, child: "subprocess.Popen[bytes]") -> Running:
    deadline = time.monotonic() + START_WAIT_S
    while time.monotonic() < deadline:
        found = running(directory)
        if found is not None and found.pid == child.pid:
            # Popen warns about a child nobody waits for; this one is meant to outlive us.
            child.returncode = 0
            return msgspec.structs.replace(found, is_new=True)
        if child.poll() is not None:
            break
        time.sleep(0.02)
    else:
        child.kill()
        child.wait()
    said = (directory / LOG_FILE).read_text(errors="replace").strip().splitlines()[-5:]
    raise NotStarted(f"the sandbox in {directory} did not start: {' / '.join(said)}")


def main() -> int:
    """`python -m oms.sandbox.launch DIR`: one JSON line about the sandbox of that directory, started if need be."""
    try:
        found = launch(Path(sys.argv[1]))
    except NotStarted as exc:
        print(exc, file=sys.stderr)  # noqa: T201
        return 1
    print(msgspec.json.encode(found).decode())  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
