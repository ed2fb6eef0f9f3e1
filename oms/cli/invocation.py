"""What one call of the command line carries from its arguments to its exit code."""

import gc
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from oms.cli import answer as stdout
from oms.cli.notes import Notes
from oms.cli.options import Settings
from oms.cli.signals import Signals
from oms.errors import LedgerBusy

if TYPE_CHECKING:
    from oms.app import Oms
    from oms.config import Config
    from oms.interrupt import Interrupt


class Invocation:
    """The settings given, the answer being written, and what must be known to end with the right code."""

    def __init__(self) -> None:
        self.settings = Settings()
        self.notes = Notes()
        self.signals = Signals()
        self.report_code: int | None = None  # of a run that has ended: it stands even if its answer cannot be written
        self.unsettled = False  # a run ended by an exception left something in doubt
        self.unfinished = False  # or some of its orders queued, while others may be live
        self._answer: stdout.Answer | None = None

    @property
    def answer(self) -> stdout.Answer:
        """The one answer of this call, in the form asked for."""
        if self._answer is None:
            self._answer = stdout.Answer(self.settings.output or "table")
        return self._answer

    @cached_property
    def config(self) -> "Config":
        """The configuration that files, environment and flags add up to; raises ConfigError."""
        from oms.config import load

        flags = {"config": self.settings.config, "environment": self.settings.environment}
        config = load({name: value for name, value in flags.items() if value is not None}, os.environ)
        for warning in config.warnings:
            self.notes.warn(warning)
        return config

    @property
    def environment(self) -> str:
        """Which exchange this call speaks of."""
        return str(self.config.environment)

    @contextmanager
    def oms(self) -> Iterator["Oms"]:
        """The Oms of this call; the answer is handed over before it closes, so that a failure to do so can ask it."""
        from oms.interrupt import Interrupt

        with self._opened(Interrupt()) as oms:
            yield oms
            stdout.flush()

    @contextmanager
    def run(self) -> Iterator["Oms"]:
        """The same for a command that sends: a signal asks it to stop in good order instead of ending it."""
        from oms.interrupt import Interrupt

        interrupt = Interrupt()
        with self._opened(interrupt) as oms, self.signals.running(interrupt):
            try:
                yield oms
                stdout.flush()
            except LedgerBusy:  # another process sends; this one had not begun
                raise
            except BaseException:
                self.unsettled = _is_so(oms.unsettled)
                self.unfinished = _is_so(oms.unfinished)
                raise

    @contextmanager
    def _opened(self, interrupt: "Interrupt") -> Iterator["Oms"]:
        from oms.app import Oms

        # What was imported stays to the end: let the collector not walk over it between two orders (30 ms a time).
        gc.freeze()
        self.notes.start_log(self.settings.verbose)
        config = self.config
        self.notes.fact(environment=config.environment, config=config.file or "none", state=config.state_dir)
        with Oms.open(config, interrupt=interrupt) as oms:
            yield oms

    def command(self, *words: str) -> str:
        """A command for the reader to type next, with this call's own --config and --env."""
        import shlex

        given = []
        if self.settings.config is not None:
            given += ["--config", self.settings.config]
        if self.settings.environment is not None:
            given += ["--env", self.settings.environment]
        return shlex.join(["oms", *given, *words])

    def confirm(self, question: str, *, yes: bool, piped_input: bool = False) -> None:
        """Ask unless --yes was given; raises ConfirmationNeeded when the answer is no or nobody can be asked."""
        from oms.cli import terminal
        from oms.errors import ConfirmationNeeded

        if yes:
            return
        with self.signals.asking():
            answered = terminal.ask(question, self.signals.read, piped_input=piped_input)
        if answered is None:
            raise ConfirmationNeeded(f"{question} There is no terminal to ask on.", hint="add --yes if it is meant")
        if not answered:
            raise ConfirmationNeeded("declined: nothing was recorded and nothing was sent")


def _is_so(asked: Callable[[], bool]) -> bool:
    try:
        return asked()
    except Exception:  # a ledger that cannot be asked: whatever was sent may be in doubt (P4)
        return True


pass_invocation = click.make_pass_decorator(Invocation)


def error_fields(code: str, message: str, hint: str = "", **more: Any) -> Mapping[str, Any]:
    """The `error` object of a failure in json."""
    return {"code": code, "message": message, "hint": hint, **more}


def stdin_bytes(invocation: Invocation) -> Any:
    """Standard input for a run: bytes, and a signal ends the waiting for it."""
    import io

    from oms.cli.signals import InterruptibleInput

    return InterruptibleInput(sys.stdin.buffer if sys.stdin is not None else io.BytesIO(), invocation.signals)
