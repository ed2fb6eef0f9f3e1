"""Who is told: a program with the messages on its standard input, or an address that they are posted to."""

import os
import signal
import subprocess
from contextlib import suppress
from tempfile import TemporaryFile
from typing import BinaryIO, Protocol, cast

from oms.config import HooksConfig

# Marks the program we run: an oms that it calls delivers nothing itself, which would wait for the one that runs it.
IN_HOOK = "OMS_IN_HOOK"
_KEPT_BACK = ("KALSHI_PRIVATE_KEY_PASSPHRASE", "OMS_HOOKS__WEBHOOK")
_SAID = 200


class Receiver(Protocol):
    """One of those who are told; `key` names its cursor, `name` is for people and holds no secret."""

    key: str
    name: str

    def deliver(self, payload: bytes, timeout_s: float) -> str:
        """Hand over one delivery; "" when it was taken, else what went wrong."""


class Program:
    """A command: JSON on its standard input, taken when it ends with 0. No shell; what it prints is dropped."""

    key = "command"

    def __init__(self, words: tuple[str, ...]) -> None:
        self._words = words
        self.name = f"the hook {os.path.basename(words[0])}"

    def deliver(self, payload: bytes, timeout_s: float) -> str:
        """Run it to its end; at the deadline it is killed with all that it has started."""
        # Files and not pipes: a program that reads nothing, or leaves something behind that holds them, blocks nobody.
        with TemporaryFile() as given, TemporaryFile() as said:
            given.write(payload)
            given.seek(0)
            try:
                process = self._start(cast(BinaryIO, given), cast(BinaryIO, said))
            except (OSError, ValueError) as exc:
                return f"{self.name} could not be started: {getattr(exc, 'strerror', None) or exc}"
            try:
                code = process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                return f"{self.name} did not end within {timeout_s:.0f} s and was killed"
            finally:
                _end(process)
            return "" if code == 0 else f"{self.name} ended with {code}{_last_line(cast(BinaryIO, said))}"

    def _start(self, given: BinaryIO, said: BinaryIO) -> "subprocess.Popen[bytes]":
        environ = {name: value for name, value in os.environ.items() if name not in _KEPT_BACK}
        return subprocess.Popen(  # noqa: S603 - the user's own program, named in the user's own configuration
            self._words,
            stdin=given,
            stdout=subprocess.DEVNULL,
            stderr=said,
            env={**environ, IN_HOOK: "1"},
            start_new_session=True,  # Ctrl-C is for us
        )


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _last_line(said: BinaryIO) -> str:
    size = said.seek(0, os.SEEK_END)
    said.seek(max(0, size - 10 * _SAID))
    lines = said.read().decode(errors="replace").strip().splitlines()
    return f": {lines[-1][:_SAID]}" if lines else ""


def receivers(hooks: HooksConfig) -> list[Receiver]:
    """Everybody who is told, the program first."""
    found: list[Receiver] = []
    if hooks.on_event:
        found.append(Program(hooks.on_event))
    if hooks.webhook:
        found.append(_Address(hooks.webhook))
    return found


class _Address:
    """A webhook; the HTTP client is loaded when it is first used."""

    key = "webhook"

    def __init__(self, url: str) -> None:
        self._url = url
        self.name = "the webhook"

    def deliver(self, payload: bytes, timeout_s: float) -> str:
        """Post it; taken when the answer is a 2xx."""
        from oms.venue.webhook import Webhook

        return Webhook(self._url).post(payload, timeout_s)
