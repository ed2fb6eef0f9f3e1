"""One call from argv to exit code: nothing escapes as a traceback, and no failure hides an order in doubt (P4)."""

import os
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TextIO

import click

from oms.cli import answer as stdout
from oms.cli.invocation import Invocation, error_fields
from oms.cli.options import output_asked
from oms.cli.root import root
from oms.errors import InputError, LimitExceeded, OmsError

IN_DOUBT = 3
FAILED = 1  # says that nothing of it is live


def run(argv: list[str]) -> int:
    """Run one command and return its exit code; stdout has everything of the answer that it would take."""
    _open_standard_streams()
    invocation = Invocation()
    _complete_shell(invocation)
    code = _guarded(invocation, lambda: _dispatch(invocation, argv), argv)
    _flush_stderr()
    invocation.signals.close()
    return IN_DOUBT if invocation.unsettled or (code == FAILED and invocation.unfinished) else code


def _dispatch(invocation: Invocation, argv: list[str]) -> int:
    invocation.signals.install()
    # Not root.main(): it turns a closed stdout into exit 1 and Ctrl-C into an exception without its signal.
    with root.make_context("oms", list(argv), obj=invocation) as context:
        code = root.invoke(context)
        stdout.flush()
        return code if isinstance(code, int) else 0


def _guarded(invocation: Invocation, command: Callable[[], int], argv: list[str]) -> int:
    """The one place where exceptions become an exit code and a sentence."""
    try:
        return command()
    except click.exceptions.Exit as ended:
        return _flushed(invocation, ended.exit_code)
    except click.ClickException as wrong:
        return _usage_error(invocation, wrong, argv)
    except OmsError as failed:
        return _oms_error(invocation, failed)
    except KeyboardInterrupt as interrupted:
        code = getattr(interrupted, "exit_code", 130)
        return _failed(invocation, code, error_fields("interrupted", "interrupted", ""))
    except stdout.AnswerLost as lost:
        return _answer_lost(invocation, lost)
    except BrokenPipeError as gone:  # click's own help and version texts
        return _answer_lost(invocation, stdout.AnswerLost(gone))
    except ModuleNotFoundError as missing:
        if (missing.name or "").split(".")[0] == "oms":
            return _internal_error(invocation, missing)
        return _failed(invocation, 2, error_fields("dependencies", "dependencies missing, run: python3 quickstart.py"))
    except Exception as unexpected:
        return _internal_error(invocation, unexpected)


def _usage_error(invocation: Invocation, wrong: click.ClickException, argv: list[str]) -> int:
    if isinstance(wrong, click.exceptions.NoArgsIsHelpError):
        invocation.notes.raw(f"{wrong.format_message()}\n")
        return 2
    if invocation.settings.output is None:
        invocation.settings.output = output_asked(argv)
    context = getattr(wrong, "ctx", None)
    hint = f"{context.command_path} --help" if context is not None else "oms --help"
    return _failed(invocation, 2, error_fields("usage", wrong.format_message(), hint))


def _oms_error(invocation: Invocation, failed: OmsError) -> int:
    fields = error_fields(failed.code, failed.message, failed.hint)
    if isinstance(failed, InputError | LimitExceeded) and failed.problems:
        is_told = isinstance(failed, LimitExceeded) and len(failed.problems) == 1  # by the message itself
        for problem in () if is_told else failed.problems:
            invocation.notes.say(str(problem))
        problems = [{"line": each.line, "field": each.field, "reason": each.reason} for each in failed.problems]
        fields = {**fields, "problems": problems}
    return _failed(invocation, failed.exit_code, fields)


def _internal_error(invocation: Invocation, unexpected: Exception) -> int:
    if os.environ.get("OMS_DEBUG") == "1":
        invocation.notes.raw("".join(traceback.format_exception(unexpected)))
    message = f"internal error: {type(unexpected).__name__}: {unexpected} (set OMS_DEBUG=1 for the traceback)"
    hint = invocation.command("reconcile") if invocation.unsettled else ""
    return _failed(invocation, 1, error_fields("internal", message, hint))


def _failed(invocation: Invocation, code: int, error: Mapping[str, Any]) -> int:
    invocation.notes.error(str(error["message"]), str(error["hint"]))
    with suppress(stdout.AnswerLost):
        invocation.answer.fail(error)
    return _flushed(invocation, code)


def _flushed(invocation: Invocation, code: int) -> int:
    try:
        stdout.flush()
    except stdout.AnswerLost as lost:
        return max(code, _answer_lost(invocation, lost))
    return code


def _answer_lost(invocation: Invocation, lost: stdout.AnswerLost) -> int:
    """What a run did stands, whoever read about it; a reader that had enough (`| head`) is no failure."""
    _discard(sys.stdout)
    if not lost.reader_gone:
        invocation.notes.error(f"the answer could not be written: {lost}")
    if invocation.report_code is not None:
        return invocation.report_code
    return 0 if lost.reader_gone else 1


def _flush_stderr() -> None:
    """Here and not at the interpreter's end, where a stderr that takes nothing more would become exit 120."""
    if sys.stderr is not None:
        try:
            sys.stderr.flush()
        except (OSError, ValueError):
            _discard(sys.stderr)


def _discard(stream: TextIO) -> None:
    """Point a standard stream at nothing, so that the interpreter's own last flush cannot fail."""
    with suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)


def _open_standard_streams() -> None:
    """Occupy descriptors 0 to 2 where they came closed, lest a lock or a ledger becomes one of them."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _complete_shell(invocation: Invocation) -> None:
    """Answer the shell's completion script (`_OMS_COMPLETE`), which ends the process."""
    instruction = os.environ.get("_OMS_COMPLETE")
    if instruction:
        from click.shell_completion import shell_complete

        sys.exit(shell_complete(root, {"obj": invocation}, "oms", "_OMS_COMPLETE", instruction))
