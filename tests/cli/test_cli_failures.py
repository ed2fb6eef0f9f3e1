"""Exit codes, and what is said with them."""

import errno
import io
import os
from pathlib import Path
from typing import Any

import cli_fake as fakes
import pytest
from cli_fake import Cli, FakeOms

from oms import errors
from oms.cli.signals import Interrupted
from oms.errors import InputError, OmsError, Problem, Refused

FAILURES: list[tuple[OmsError, int]] = [
    (errors.InputError("x"), 2),
    (errors.ConfigError("x"), 2),
    (errors.UnknownOrder("x"), 2),
    (errors.LedgerMissing("x"), 2),
    (errors.LedgerBusy("x"), 6),
    (errors.LedgerFailed("x"), 1),
    (errors.CredentialsError("x"), 4),
    (errors.NotSent("x"), 6),
    (errors.OutcomeUnknown("x"), 3),
    (errors.ReadFailed("x"), 6),
    (Refused("x", http_status=400, exchange_code="c"), 5),
]


@pytest.mark.parametrize(("failure", "code"), FAILURES, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("words", [("orders",), ("submit",), ("reconcile",), ("cancel", "abcdefgh"), ("why", "x")])
def test_each_error_has_its_exit_code_and_its_sentence(
    fake: type[FakeOms], cli: Cli, failure: OmsError, code: int, words: tuple[str, ...]
) -> None:
    failure.message, failure.hint = "what is wrong", "what to do"
    fake.failure = failure
    result = cli(*words)
    assert result.code == code
    assert result.out == ""
    assert result.err == "error: what is wrong\nhint: what to do\n"
    failed = cli(*words, "--json")
    assert failed.code == code
    assert failed.json == {
        "ok": False,
        "error": {"code": failure.code, "message": "what is wrong", "hint": "what to do"},
    }
    assert failed.err == result.err


def test_every_bad_row_is_named_on_stderr_and_in_json(fake: type[FakeOms], cli: Cli) -> None:
    problems = (Problem(2, "price", "0.5x is no price"), Problem(7, "", "too many cells"))
    fake.failure = InputError("2 rows are wrong", problems=problems)
    result = cli("submit", "-", "--json")
    assert result.code == 2
    assert result.err.splitlines()[:2] == ["line 2: price: 0.5x is no price", "line 7: too many cells"]
    assert result.json["error"]["problems"] == [
        {"line": 2, "field": "price", "reason": "0.5x is no price"},
        {"line": 7, "field": "", "reason": "too many cells"},
    ]


def test_what_is_wrong_with_flags_is_said_of_the_flag(fake: type[FakeOms], cli: Cli) -> None:
    fake.failure = InputError("1 row is wrong", problems=(Problem(1, "yes_price", "is no price"),))
    result = cli("submit", "--ticker", "T", "--yes-price", "x")
    assert result.code == 2
    assert "--yes-price: is no price" in result.err
    assert "line" not in result.err


@pytest.mark.parametrize("code", [0, 3, 4, 5, 6, 130, 143])
def test_the_report_decides_the_exit_code(fake: type[FakeOms], cli: Cli, code: int) -> None:
    stop = fakes.stop("halted", code) if code else None
    fake.answer_report = fakes.report(exit_code=code, stop=stop)
    for words in (("submit",), ("cancel", "abcdefgh"), ("withdraw", "abcdefgh")):
        assert cli(*words).code == code
        failed = cli(*words, "--json")
        assert failed.json["ok"] is (code == 0)
        assert ("error" in failed.json) is (code != 0)
        assert len(failed.json["orders"]) == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"exit_code": 3, "in_doubt": 1}, "in_doubt"),
        ({"exit_code": 4, "stop": fakes.stop("credentials", 4)}, "credentials"),
        ({"exit_code": 5, "rejected_now": 1}, "refused"),
        ({"exit_code": 6, "queued": 1}, "queued"),
        ({"exit_code": 6, "unsent_now": 1}, "unsent"),
    ],
)
def test_a_report_that_is_no_success_says_why_in_json(
    fake: type[FakeOms], cli: Cli, changes: dict[str, Any], code: str
) -> None:
    fake.answer_report = fakes.report(**changes)
    assert cli("submit", "--json").json["error"]["code"] == code


@pytest.mark.parametrize(
    "words",
    [
        ("bogus",),
        ("submit", "--bogus"),
        ("submit", "no-such-file.csv"),
        ("submit", "-", "--ticker", "T"),
        ("submit", "-", "--retry", "b"),
        ("submit", "--retry", "b", "--ticker", "T"),
        ("submit", "--batch", "b"),
        ("submit", "--batch", "b", "--retry", "c"),
        ("submit", "--batch", "", "-"),
        ("submit", "--ttl", "5"),
        ("submit", "--ttl", "-5", "-"),
        ("submit", "--dry-run"),
        ("submit", "--dry-run", "--retry", "b"),
        ("orders", "--status", "filled"),
        ("orders", "--limit", "0"),
        ("cancel",),
        ("withdraw",),
        ("withdraw", "abcdefgh", "--batch", "b"),
        ("resolve", "abcdefgh"),
        ("resolve", "abcdefgh", "--absent", "--order-id", "x"),
        ("reconcile", "--since", "yesterday"),
        ("help", "no-such-topic"),
        ("orders", "--env", "live"),
        ("orders", "-o", "yaml"),
        ("orders", "-o", "csv", "--json"),
        ("config", "bogus"),
        ("db",),
        (),
    ],
    ids=str,
)
def test_wrong_usage_is_exit_2_and_calls_nothing(fake: type[FakeOms], cli: Cli, words: tuple[str, ...]) -> None:
    result = cli(*words)
    assert result.code == 2
    assert result.out == ""
    assert result.err
    assert fake.calls == []


def test_wrong_usage_fails_as_json_wherever_json_was_asked_for(fake: type[FakeOms], cli: Cli) -> None:
    for words in (
        ("--json", "submit", "--bogus"),
        ("submit", "--bogus", "--json"),
        ("submit", "--bogus", "-o", "json"),
        ("submit", "--bogus", "-ojson"),
        ("-o", "jsonl", "nonsense"),
        ("submit", "--bogus", "--output=json"),
    ):
        failed = cli(*words)
        assert (failed.code, failed.json["ok"], failed.json["error"]["code"]) == (2, False, "usage")


def test_an_unexpected_exception_is_one_line_and_exit_1(fake: type[FakeOms], cli: Cli) -> None:
    fake.failure = RuntimeError("boom\x1b")
    result = cli("submit", "--json")
    assert result.code == 1
    assert result.err == "error: internal error: RuntimeError: boom\\x1b (set OMS_DEBUG=1 for the traceback)\n"
    assert result.json["error"]["code"] == "internal"


def test_a_traceback_is_shown_when_asked_for(fake: type[FakeOms], cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMS_DEBUG", "1")
    fake.failure = RuntimeError("boom")
    assert "Traceback" in cli("submit").err


@pytest.mark.parametrize(
    "failure",
    [
        RuntimeError("boom"),
        errors.LedgerFailed("disk full"),
        errors.InputError("late"),
        Interrupted(2),
        OSError(28, "full"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_no_failure_hides_that_something_is_unsettled(fake: type[FakeOms], cli: Cli, failure: BaseException) -> None:
    fake.failure = failure
    fake.is_unsettled = True
    assert cli("submit").code == 3


@pytest.mark.parametrize(
    ("words", "failure", "code"),
    [
        (("submit",), errors.LedgerBusy("process 7 sends"), 6),
        (("reconcile",), errors.LedgerBusy("process 7 sends"), 6),
        (("withdraw", "abcdefgh"), errors.InputError("it was sent"), 2),
        (("resolve", "abcdefgh", "--absent"), errors.InputError("it is not parked"), 2),
        (("orders",), errors.UnknownOrder("no such batch"), 2),
    ],
    ids=lambda each: str(each),
)
def test_doubts_of_others_change_no_code_of_a_command_that_had_not_begun_to_send(
    fake: type[FakeOms], cli: Cli, words: tuple[str, ...], failure: OmsError, code: int
) -> None:
    fake.failure = failure
    fake.is_unsettled = True
    assert cli(*words).code == code


@pytest.mark.parametrize(
    ("failure", "code"), [(errors.LedgerFailed("disk full"), 3), (RuntimeError("boom"), 3), (errors.InputError("x"), 2)]
)
def test_a_run_that_failed_with_orders_still_queued_does_not_say_that_nothing_is_live(
    fake: type[FakeOms], cli: Cli, failure: BaseException, code: int
) -> None:
    fake.failure = failure
    fake.is_unfinished = True
    assert cli("submit").code == code


def test_a_ledger_that_cannot_be_asked_counts_as_unsettled(fake: type[FakeOms], cli: Cli) -> None:
    def unsettled(_self: FakeOms) -> bool:
        raise errors.LedgerFailed("disk full")

    fake.failure = RuntimeError("boom")
    fake.unsettled = unsettled  # type: ignore[method-assign]
    assert cli("submit").code == 3


@pytest.mark.parametrize(
    ("failure", "code"), [(KeyboardInterrupt(), 130), (Interrupted(15), 143), (Interrupted(2), 130)]
)
def test_an_interrupted_command_ends_with_the_signal_code(
    fake: type[FakeOms], cli: Cli, failure: BaseException, code: int
) -> None:
    fake.failure = failure
    result = cli("orders", "--json")
    assert result.code == code
    assert result.json["error"]["code"] == "interrupted"


class Lost(io.RawIOBase):
    """A stdout that takes nothing."""

    def __init__(self, number: int) -> None:
        self._number = number

    def writable(self) -> bool:
        return True

    def write(self, _data: Any) -> int:
        raise OSError(self._number, os.strerror(self._number))


@pytest.mark.parametrize(
    ("report_code", "unsettled", "code"), [(0, False, 0), (5, False, 5), (3, True, 3), (0, True, 3)]
)
@pytest.mark.parametrize("number", [errno.EPIPE, errno.ENOSPC])
@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv"])
def test_a_lost_stdout_keeps_the_code_of_what_was_done(
    fake: type[FakeOms], cli: Cli, report_code: int, unsettled: bool, code: int, number: int, form: str
) -> None:
    fake.answer_report = fakes.report(exit_code=report_code)
    fake.is_unsettled = unsettled
    result = cli("submit", "-o", form, stdout=Lost(number))
    assert result.code == code
    assert "Traceback" not in result.err


def test_a_reader_that_had_enough_of_a_list_is_no_failure(fake: type[FakeOms], cli: Cli) -> None:
    fake.answer_orders = [fakes.order(row) for row in range(1, 2000)]
    assert cli("orders", stdout=Lost(errno.EPIPE)).code == 0
    full = cli("orders", stdout=Lost(errno.ENOSPC))
    assert (full.code, full.err) == (1, "error: the answer could not be written: [Errno 28] No space left on device\n")


def test_a_list_that_fails_half_way_is_still_whole_json(fake: type[FakeOms], cli: Cli) -> None:
    def orders(_self: FakeOms, **_call: Any) -> Any:
        yield fakes.order()
        raise errors.LedgerReplaced("the ledger was replaced")

    fake.orders = orders  # type: ignore[method-assign]
    result = cli("orders", "--json")
    assert result.code == 1
    assert len(result.json["orders"]) == 1
    assert result.json["error"]["code"] == "ledger_replaced"


def test_prod_asks_before_more_than_one_order_and_cannot_without_a_terminal(
    fake: type[FakeOms], cli: Cli, tmp_path: Path
) -> None:
    fake.preview_count = 2
    result = cli("--env", "prod", "submit", "-")
    assert result.code == 2
    assert "Place 2 orders costing $7.00 in prod?" in result.err
    assert "--yes" in result.err
    assert ("confirmed", {}) not in fake.calls
    assert cli("--env", "prod", "submit", "-", "--yes").code == 0
    assert ("confirmed", {}) in fake.calls


def test_bulk_cancel_in_prod_needs_yes_and_elsewhere_never_asks(fake: type[FakeOms], cli: Cli) -> None:
    result = cli("cancel", "abcdefgh", "ijklmnop", "--env", "prod")
    assert (result.code, fake.calls) == (2, [])
    assert "Cancel 2 orders, $14.00 of which is not filled, in prod?" in result.err
    assert "--yes" in result.err
    assert cli("cancel", "abcdefgh", "ijklmnop", "--env", "prod", "--yes").code == 0
    assert cli("cancel", "abcdefgh", "--env", "prod").code == 0
    assert cli("cancel", "abcdefgh", "ijklmnop", "--env", "demo").code == 0


def test_retrying_more_than_one_order_in_prod_needs_yes(fake: type[FakeOms], cli: Cli) -> None:
    result = cli("--env", "prod", "submit", "--retry", "nightly")
    assert result.code == 2
    assert "--yes" in result.err
    assert cli("--env", "prod", "submit", "--retry", "nightly", "--yes").code == 0
