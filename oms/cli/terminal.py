"""What may be shown and asked on a terminal: colour, escaping of text that came from elsewhere, questions."""

import os
import sys
from collections.abc import Callable, Mapping
from typing import IO


def plain(text: object) -> str:
    """Text with everything a terminal might obey made visible: ESC, newlines, bidi controls, lone surrogates.

    Tickers, reasons and titles come from the exchange, file names from anywhere: neither may paint, move the cursor
    or reorder what is read.
    """
    words = str(text)
    if words.isprintable():
        return words
    return "".join(char if char.isprintable() else _visible(char) for char in words)


def _visible(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def is_terminal(stream: IO[str] | None) -> bool:
    """Whether a person is looking at this stream right now."""
    try:
        return stream is not None and stream.isatty()
    except (ValueError, OSError):  # closed under us
        return False


def wants_colour(stream: IO[str] | None, environ: Mapping[str, str] = os.environ) -> bool:
    """NO_COLOR beats FORCE_COLOR and CLICOLOR_FORCE, which beat is-a-terminal; a dumb terminal has none."""
    if environ.get("NO_COLOR"):
        return False
    if any(environ.get(name, "0") not in ("", "0") for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return True
    return is_drawable(stream, environ)


def is_drawable(stream: IO[str] | None, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a line may be redrawn in place: a terminal that is not dumb."""
    return is_terminal(stream) and environ.get("TERM") not in ("dumb", "unknown")


def ask(question: str, read: Callable[[int, int], bytes], *, piped_input: bool = False) -> bool | None:
    """Ask on stderr, read a line from the terminal; None when there is no terminal to ask on.

    `read` takes a descriptor and a size. `piped_input` says that stdin carries the orders, so that the answer has to
    come from the controlling terminal; otherwise a stdin that is not a terminal means a script, and a script is never
    asked.
    """
    if not is_terminal(sys.stderr):
        return None
    if is_terminal(sys.stdin):
        return _answered(question, sys.stdin.fileno(), read)
    if not piped_input:
        return None
    try:
        with open("/dev/tty", "rb", buffering=0) as keyboard:
            return _answered(question, keyboard.fileno(), read)
    except OSError:
        return None


def _answered(question: str, descriptor: int, read: Callable[[int, int], bytes]) -> bool:
    sys.stderr.write(f"{plain(question)} [y/N] ")
    sys.stderr.flush()
    return read(descriptor, 1024).strip().lower() in (b"y", b"yes")
