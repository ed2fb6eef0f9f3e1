"""`oms sandbox serve` as a process: it announces itself, refuses what makes no sense, and ends when told."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli_fake import Cli


def test_serve_announces_itself_and_ends_in_good_order(tmp_path: Path, cli: Cli) -> None:
    words = [sys.executable, "-m", "oms", "sandbox", "serve", "--dir", str(tmp_path / "x"), "--seed", "7"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as server:
        assert server.stdout is not None
        told = json.loads(server.stdout.readline())
        assert told["base_url"].startswith("http://127.0.0.1:")
        assert Path(told["private_key_path"]).is_file()
        busy = cli("sandbox", "serve", "--dir", str(tmp_path / "x"), "--json")
        assert (busy.code, busy.json["error"]["code"]) == (6, "sandbox_busy")
        server.send_signal(signal.SIGTERM)
        _, said = server.communicate(timeout=30)
    assert (server.returncode, said) == (0, b"")


@pytest.mark.parametrize(
    "words",
    [
        ("--faults", "[{]"),
        ("--faults", '[{"fault": "no-such"}]'),
        ("--tier", "gold"),
        ("--port", "70000"),
        ("--dedupe", "x"),
    ],
    ids=str,
)
def test_serve_refuses_what_makes_no_sense(cli: Cli, tmp_path: Path, words: tuple[str, ...]) -> None:
    result = cli("sandbox", "serve", "--dir", str(tmp_path / "x"), *words, "--json")
    assert (result.code, result.json["error"]["code"]) == (2, "usage")


def test_serve_says_why_it_cannot_start(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = cli("sandbox", "serve", "--dir", str(tmp_path / "file" / "x"))
    assert result.code == 1
    assert "Not a directory" in result.err
