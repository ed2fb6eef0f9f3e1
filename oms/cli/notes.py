"""stderr: sentences, warnings, errors, the progress line and the log. Nothing here can fail a command.

A closed or full stderr is nobody's problem but the reader's: a run that sends orders must not end because of it.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from oms.cli import terminal

if TYPE_CHECKING:
    from logging import Handler

    from rich.progress import Progress as Bar

    from oms.records import Progress

QUIET_S = 0.5  # shorter runs need no progress line
REDRAW_S = 0.1
COLOURS = {"error:": "red", "warning:": "yellow", "hint:": "cyan"}


class Notes:
    """Everything that is said beside the answer."""

    def __init__(self) -> None:
        self._bar: Bar | None = None
        self._is_logging = False

    def say(self, text: str) -> None:
        """One line, whatever it holds."""
        line = terminal.plain(text)
        head, _, rest = line.partition(" ")
        if head in COLOURS and terminal.wants_colour(sys.stderr):
            import click

            line = f"{click.style(head, fg=COLOURS[head], bold=True)} {rest}"
        if self._bar is not None:  # the line being redrawn has to make room
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
            return
        self.raw(f"{line}\n")

    def raw(self, text: str) -> None:
        """Text of our own, line breaks and all: help, a traceback."""
        with suppress(OSError, ValueError):
            if sys.stderr is not None:
                sys.stderr.write(text)
                sys.stderr.flush()

    def warn(self, text: str) -> None:
        """Something the reader should know although the command goes on."""
        self.say(f"warning: {text}")

    def error(self, message: str, hint: str = "") -> None:
        """Why the command did not do what it was asked, and the next step."""
        self.say(f"error: {message}")
        if hint:
            self.say(f"hint: {hint}")

    @contextmanager
    def progress(self) -> Iterator[Callable[["Progress"], None]]:
        """A callback that draws how far a run has come: on a terminal only, and only after half a second."""
        if self._is_logging:
            yield lambda progress: self.fact(progress=progress_text(progress))
            return
        if not terminal.is_drawable(sys.stderr):
            yield lambda _progress: None
            return
        line = _ProgressLine(self)
        try:
            yield line.show
        finally:
            line.end()

    def start_log(self, verbosity: int) -> None:
        """Send the program's log here: warnings always, facts with -v, everything with -vv."""
        import logging

        self._is_logging = verbosity > 0
        level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbosity, 2)]
        # urllib3 tells method, path and status of every request, never a header.
        for name in ("oms", "urllib3") if verbosity > 1 else ("oms",):
            log = logging.getLogger(name)
            log.handlers = [_handler(self)]
            log.setLevel(level)
            log.propagate = False

    def fact(self, **facts: object) -> None:
        """One line of the log, key=value, with -v."""
        if self._is_logging:
            import logging

            logging.getLogger("oms.cli").info(" ".join(f"{name}={value}" for name, value in facts.items()))


class _ProgressLine:
    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._started_s = self._drawn_s = time.monotonic()

    def show(self, progress: "Progress") -> None:
        now_s = time.monotonic()
        if now_s - self._started_s < QUIET_S or now_s - self._drawn_s < REDRAW_S:
            return
        self._drawn_s = now_s
        with suppress(OSError, ValueError):
            self._draw(progress)

    def _draw(self, progress: "Progress") -> None:
        bar = self._notes._bar
        if bar is None:
            bar = self._notes._bar = _new_bar()
            bar.add_task("")
            bar.start()
        text = progress_text(progress)
        bar.update(bar.task_ids[0], completed=progress.done, total=progress.total, description=text, refresh=True)

    def end(self) -> None:
        bar, self._notes._bar = self._notes._bar, None
        if bar is not None:
            with suppress(OSError, ValueError):
                bar.stop()


def progress_text(progress: "Progress") -> str:
    """What the progress line says: "sending 37/120, 2 in doubt"."""
    count = "" if progress.total is None and not progress.done else f" {progress.done}"
    total = "" if progress.total is None else f"/{progress.total}"
    doubt = f", {progress.in_doubt} in doubt" if progress.in_doubt else ""
    note = f" ({terminal.plain(progress.note)})" if progress.note else ""
    return f"{progress.phase}{count}{total}{doubt}{note}"


def _new_bar() -> "Bar":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    text = TextColumn("{task.description}", markup=False)
    colour = terminal.wants_colour(sys.stderr)
    console = Console(stderr=True, color_system="standard" if colour else None, force_terminal=True, highlight=False)
    return Progress(
        text, BarColumn(bar_width=24), TimeElapsedColumn(), console=console, transient=True, auto_refresh=False
    )


def _handler(notes: Notes) -> "Handler":
    import logging

    class ToNotes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            notes.say(self.format(record))

    handler = ToNotes()
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    return handler
