"""Nothing secret in anything a process of ours shows or leaves behind: a fixture that looks everywhere.

    def test_something(canary):
        ended = canary.run("submit", "orders.csv", env=..., wire=wire)

Guarded are the lines of a private key's PEM, its private numbers, its passphrase, and every signature that went over a
`Wire`. Looked at are all streams and arguments of the processes that were run, and every file below the directories
that are watched. A leak fails the test at its end, whatever else it asserts.
"""

import base64
import re
import select
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

ROOT = Path(__file__).parents[1]
_SIGNATURE = re.compile(rb"(?i)^kalshi-access-signature:\s*(\S+)\s*$", re.MULTILINE)
_SAMPLE_S = 0.05
# A line of a PEM shorter than this could stand anywhere by chance.
_LEAST_LENGTH = 12


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that has ended."""

    code: int
    out: str
    err: str


class Wire:
    """A wire between a client and a server on this machine that remembers what the client has sent."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._said: list[bytearray] = []
        self._is_open = True
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def signatures(self) -> set[bytes]:
        """Every signature that has passed."""
        return {found for said in list(self._said) for found in _SIGNATURE.findall(bytes(said))}

    @property
    def requests(self) -> int:
        """How many connections have brought anything at all."""
        return sum(bool(said) for said in list(self._said))

    def close(self) -> None:
        """Take no more connections."""
        self._is_open = False
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while self._is_open:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            said = bytearray()
            self._said.append(said)
            threading.Thread(target=self._carry, args=(client, said), daemon=True).start()

    def _carry(self, client: socket.socket, said: bytearray) -> None:
        with client, suppress(OSError), socket.create_connection(self._server) as server:
            while True:
                ready, _, _ = select.select([client, server], [], [])
                for source, sink in ((client, server), (server, client)):
                    if source in ready:
                        data = source.recv(65536)
                        if not data:
                            return
                        if source is client:
                            said += data
                        sink.sendall(data)


class Canary:
    """What is guarded, and what was seen."""

    def __init__(self) -> None:
        self._secrets: dict[str, bytes] = {}
        self._wires: list[Wire] = []
        self._seen: list[tuple[str, bytes]] = []
        self._watched: list[Path] = []
        self._own_files: set[Path] = set()

    # -- what is secret

    def guard(self, name: str, secret: str | bytes) -> None:
        """Nothing may show this."""
        self._secrets[name] = secret.encode() if isinstance(secret, str) else secret

    def guard_key(self, path: Path, passphrase: str | None = None) -> None:
        """Nothing but its own file may show this private key, in any form it could be written down."""
        self._own_files.add(path.resolve())
        pem = path.read_bytes()
        lines = [line for line in pem.splitlines() if line and not line.startswith(b"-----")]
        for number, line in enumerate(lines):
            if len(line) >= _LEAST_LENGTH:
                self.guard(f"line {number} of {path.name}", line)
        if passphrase is not None:
            self.guard("the passphrase", passphrase)
        key = serialization.load_pem_private_key(pem, passphrase.encode() if passphrase else None)
        if isinstance(key, rsa.RSAPrivateKey):
            private = key.private_numbers()
            for name, value in (("d", private.d), ("p", private.p), ("q", private.q)):
                self.guard(f"{name} in decimals", str(value))
                self.guard(f"{name} in hexadecimals", f"{value:x}")
        if isinstance(key, ed25519.Ed25519PrivateKey):
            raw = key.private_bytes_raw()
            self.guard("the seed", raw)
            self.guard("the seed in hexadecimals", raw.hex())
            self.guard("the seed in Base64", base64.b64encode(raw))

    def guard_wire(self, wire: Wire) -> None:
        """Nothing may show a signature that has passed here."""
        self._wires.append(wire)

    # -- what is looked at

    def saw(self, where: str, data: str | bytes) -> None:
        """Something a process has shown."""
        self._seen.append((where, data.encode(errors="surrogateescape") if isinstance(data, str) else data))

    def watch(self, directory: Path) -> None:
        """At the end, look at every file below this directory."""
        self._watched.append(directory)

    def run(
        self,
        *argv: str | Path,
        env: Mapping[str, str],
        cwd: Path | None = None,
        stdin: bytes = b"",
        timeout_s: float = 60,
        python: Sequence[str] = ("-m", "oms"),
    ) -> Ended:
        """Run oms as a process of its own interpreter and look at all that it shows, its arguments included."""
        words = [sys.executable, *python, *map(str, argv)]
        given = {"PYTHONPATH": str(ROOT), **env}
        with tempfile.TemporaryFile() as taken, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            taken.write(stdin)
            taken.seek(0)
            process = subprocess.Popen(
                words, env=given, cwd=cwd, stdin=taken, stdout=out, stderr=err, start_new_session=True
            )
            try:
                self._wait(process, timeout_s)
            finally:
                process.kill()
                process.wait()
            shown = [_whole(out), _whole(err)]
        for name, data in zip(("stdout", "stderr"), shown, strict=True):
            self.saw(f"{name} of oms {' '.join(map(str, argv))}", data)
        return Ended(process.returncode, shown[0].decode(), shown[1].decode())

    def _wait(self, process: "subprocess.Popen[bytes]", timeout_s: float) -> None:
        for _ in range(int(timeout_s / _SAMPLE_S)):
            for pid, words in _arguments_of_session(process.pid):
                self.saw(f"arguments of process {pid}", words)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_SAMPLE_S)
                return
        raise AssertionError(f"it did not end within {timeout_s} s")

    # -- the verdict

    def leaks(self) -> list[str]:
        """What was seen where it must not be."""
        secrets = dict(self._secrets)
        for wire in self._wires:
            secrets |= {f"signature {n}": found for n, found in enumerate(sorted(wire.signatures))}
        found = []
        for where, data in [*self._seen, *self._files()]:
            found += [f"{name} in {where}" for name, secret in secrets.items() if secret in data]
        return found

    def verify(self) -> None:
        """Fail if anything has leaked."""
        leaks = self.leaks()
        assert not leaks, leaks

    def _files(self) -> Iterator[tuple[str, bytes]]:
        for directory in self._watched:
            for path in sorted(directory.rglob("*")):
                if path.is_file() and path.resolve() not in self._own_files:
                    yield str(path), path.read_bytes()


def _whole(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def _arguments_of_session(leader: int) -> Collection[tuple[int, bytes]]:
    """What `ps` shows of every process of a session."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            fields = (place / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == leader:
                found.append((int(place.name), (place / "cmdline").read_bytes()))
    return found


@pytest.fixture
def canary() -> Iterator[Canary]:
    """A canary whose verdict falls when the test has ended."""
    made = Canary()
    yield made
    made.verify()
