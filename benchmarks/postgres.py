"""A PostgreSQL of one's own for as long as a benchmark runs: scratch directory, loopback, its defaults (fsync on).

The programs are those of the system (Debian: `apt-get install postgresql`); nothing of an installed cluster is
touched. PostgreSQL refuses to run as root, so a root's cluster belongs to `nobody`.
"""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_USER = "bench"


def programs() -> Path | None:
    """The directory of `initdb` and `postgres`; None where they are not installed."""
    found = shutil.which("initdb")
    every = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((place for place in every if (place / "initdb").exists() and (place / "postgres").exists()), None)


@contextmanager
def cluster(place: Path, parent: Path | None = None) -> Iterator[str]:
    """A running server with an empty database; its URL. Stopped and deleted at the end."""
    home = Path(tempfile.mkdtemp(prefix="oms-benchmark-postgres-", dir=parent))
    owner = _owner(home)
    password, port = secrets.token_hex(16), _free_port()
    words = home / "password"
    words.write_text(password, encoding="ascii")
    words.chmod(0o600)
    if owner:
        shutil.chown(words, owner["user"], owner["group"])
    try:
        made = ("--auth=scram-sha-256", f"--username={_USER}", f"--pwfile={words}", "--encoding=UTF8", "--locale=C")
        _call([place / "initdb", "--pgdata", home / "data", *made], owner)
        listening = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={home}"
        control = [place / "pg_ctl", "--pgdata", home / "data", "--wait"]
        _call([*control, "--log", home / "log", "--options", listening, "start"], owner)
        try:
            yield f"postgresql+psycopg://{_USER}:{password}@127.0.0.1:{port}/postgres"
        finally:
            _call([*control, "--mode", "fast", "stop"], owner)
    finally:
        shutil.rmtree(home)


def _owner(home: Path) -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    owner = {"user": "nobody", "group": "nogroup"}
    shutil.chown(home, owner["user"], owner["group"])
    return owner | {"extra_groups": []}


def _call(command: list[Any], owner: dict[str, Any]) -> None:
    done = subprocess.run(
        command,
        **owner,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
