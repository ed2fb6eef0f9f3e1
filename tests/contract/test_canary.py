"""The canary sings: whatever is leaked on purpose, wherever it is shown, fails the test that runs under it."""

import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from oms.sandbox.auth import new_private_pem
from tests.canary import ROOT, Canary, Wire

ENV = {"PATH": "/usr/bin:/bin"}
SAYS = ("-c", "import sys, time; sys.stdout.write(sys.argv[1]); sys.stderr.write(sys.argv[2]); time.sleep(0.2)")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key.pem"
    path.write_bytes(new_private_pem("ed25519"))
    return path


@pytest.fixture
def lone() -> Canary:
    """A canary that no fixture judges."""
    return Canary()


def line_of(key: Path) -> str:
    return key.read_text().splitlines()[1]


def test_a_process_that_shows_nothing_secret_passes(lone: Canary, key: Path) -> None:
    lone.guard_key(key)
    ended = lone.run("hello", "world", env=ENV, python=SAYS)
    assert (ended.code, ended.out, ended.err) == (0, "hello", "world")
    lone.verify()


@pytest.mark.parametrize("stream", [0, 1])
def test_a_line_of_the_key_on_a_stream_is_found(lone: Canary, key: Path, stream: int) -> None:
    lone.guard_key(key)
    said = ("-c", f"import sys; (sys.stdout, sys.stderr)[{stream}].write(open('{key}').read())")
    lone.run(env=ENV, python=said)
    assert lone.leaks() == [f"line 0 of key.pem in {('stdout', 'stderr')[stream]} of oms "]
    with pytest.raises(AssertionError, match="line 0 of key"):
        lone.verify()


def test_a_secret_among_the_arguments_is_found_as_ps_shows_it(lone: Canary) -> None:
    lone.guard("the passphrase", "open sesame 17")
    lone.run("open sesame 17", "", env=ENV, python=("-c", "import time; time.sleep(0.2)"))
    assert any("arguments of process" in leak for leak in lone.leaks())


def test_a_secret_in_any_file_below_a_watched_directory_is_found(lone: Canary, key: Path, tmp_path: Path) -> None:
    lone.guard_key(key)
    lone.watch(tmp_path)
    lone.verify()
    deep = tmp_path / "state" / "ledger.sqlite3-wal"
    deep.parent.mkdir()
    deep.write_bytes(b"\0\1" + line_of(key).encode() + b"\2")
    with pytest.raises(AssertionError, match="sqlite3-wal"):
        lone.verify()


def test_a_private_number_in_another_form_is_found(lone: Canary, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    path = tmp_path / "rsa.pem"
    path.write_bytes(new_private_pem())
    lone.guard_key(path)
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    lone.saw("a debugger's print", str(key.private_numbers().d))
    assert lone.leaks() == ["d in decimals in a debugger's print"]


class _Echo(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while (line := self.rfile.readline()).strip():
            self.wfile.write(line)


@pytest.fixture
def server() -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Echo) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made.server_address[1]
        made.shutdown()


def test_a_signature_that_went_over_the_wire_is_found_where_it_is_shown(lone: Canary, server: int) -> None:
    wire = Wire("127.0.0.1", server)
    lone.guard_wire(wire)
    asks = (
        f"import socket; s = socket.create_connection(('127.0.0.1', {wire.port}))\n"
        "s.sendall(b'POST / HTTP/1.1\\r\\nKALSHI-ACCESS-SIGNATURE: c2lnbmF0dXJlIQ==\\r\\n\\r\\n')\n"
        "print(s.recv(10), s.recv(99))"
    )
    lone.run(env=ENV, python=("-c", asks))
    wire.close()
    assert wire.signatures == {b"c2lnbmF0dXJlIQ=="}
    lone.saw("stdout", "sent c2lnbmF0dXJlIQ==")
    with pytest.raises(AssertionError, match="signature 0 in stdout"):
        lone.verify()


def test_the_fixture_itself_fails_a_test_that_leaks_and_passes_one_that_does_not(tmp_path: Path) -> None:
    (tmp_path / "test_leak.py").write_text(
        "from tests.canary import canary\n"
        "def test_leaks(canary):\n"
        "    canary.guard('the passphrase', 'sesame')\n"
        "    canary.saw('stdout', 'open sesame')\n"
        "def test_is_silent(canary):\n"
        "    canary.guard('the passphrase', 'sesame')\n"
        "    canary.saw('stdout', 'nothing')\n"
    )
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)]
    done = subprocess.run(words, cwd=tmp_path, env={**ENV, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 1
    assert "2 passed, 1 error" in done.stdout, done.stdout
    assert "the passphrase in stdout" in done.stdout
