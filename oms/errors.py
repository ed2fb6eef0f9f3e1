"""Every error of oms, one class per thing the caller can do about it.

    OmsError                    has .code (closed word), .hint (the next step) and .exit_code (design contract)
      InputError           2    rows, flags or arguments are wrong; nothing recorded, nothing sent: .problems
      LimitExceeded        5    orders are over the trader's own limits; nothing recorded, nothing sent: .problems
      ConfigError          2    the configuration is wrong; nothing sent
      ConfirmationNeeded   2    the question could not be asked (no terminal) or was declined
      UnknownOrder         2    no order of this ledger answers to that name
      LedgerError          1    the ledger cannot be used as it is; nothing was sent
        LedgerMissing      2      there is none, and reading creates nothing
        LedgerForeign      2      not ours, newer than this program, or another environment's
        LedgerBusy         6      another process sends from it
        LedgerReplaced     1      the file under the path is not the one that was opened
        LedgerDamaged      1      a check of its content failed
        LedgerFailed       1      the disk or the database failed in mid work: nothing more may be sent
        EpochLost          6      another run has taken over the ledger
      InvalidTransition    1    a bug: an event that the state does not allow; nothing was written
      CredentialsError     4    key missing, unreadable, too open, of a wrong kind, or refused by the exchange
      VenueError
        NotSent            6      no byte of the request left this process
        Refused            5      the exchange said no, with a parsed code: .code .http_status
        OutcomeUnknown     3      it may have been acted on: ask before doing anything
      ReadFailed           6    a read of the exchange did not succeed; it says nothing about any order
      Interrupted    130, 143   a signal ended it before anything was recorded or sent

Foreign exceptions are translated once, at the door of the room that meets them (`raise ... from exc`). When unsure
whether a write was acted on, it is OutcomeUnknown. Messages name the thing, the value and the next step, and never
carry a key, a signature or a header.
"""

from dataclasses import dataclass


class OmsError(Exception):
    """Root of all errors that oms raises on purpose; str() is one whole message for a person."""

    code = "error"
    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with one row of input."""

    line: int | None  # line of the file, or row of the iterable, counted from 1; None for flags
    field: str
    reason: str

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line is not None else ""
        return f"{where}{self.field}: {self.reason}" if self.field else f"{where}{self.reason}"


class InputError(OmsError):
    """Rows, flags or arguments are wrong. Nothing was recorded and nothing was sent."""

    code = "bad_input"
    exit_code = 2

    def __init__(self, message: str, *, hint: str = "", problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.problems = problems


class LimitExceeded(OmsError):
    """Orders are over the trader's own limits. Nothing was recorded and nothing was sent."""

    code = "limit_exceeded"
    exit_code = 5

    def __init__(self, message: str, *, hint: str = "", problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.problems = problems


class ConfigError(OmsError):
    """The configuration is wrong. Nothing was sent."""

    code = "bad_config"
    exit_code = 2


class ConfirmationNeeded(OmsError):
    """A question had to be answered first, and there was no terminal to ask on or the answer was no."""

    code = "confirmation_needed"
    exit_code = 2


class UnknownOrder(OmsError):
    """No order of this ledger answers to that name."""

    code = "unknown_order"
    exit_code = 2


class LedgerError(OmsError):
    """The ledger cannot be used as it is. Nothing was sent."""

    code = "ledger"


class LedgerMissing(LedgerError):
    """There is no ledger at that place, and reading creates none."""

    code = "ledger_missing"
    exit_code = 2


class LedgerForeign(LedgerError):
    """The file is not a ledger of ours, is newer than this program, or belongs to another environment or account."""

    code = "ledger_foreign"
    exit_code = 2


class LedgerBusy(LedgerError):
    """Another process holds the writer lock."""

    code = "ledger_busy"
    exit_code = 6


class LedgerReplaced(LedgerError):
    """The file under the ledger's path is no longer the one that was opened. Nothing more may be sent."""

    code = "ledger_replaced"


class LedgerDamaged(LedgerError):
    """A check of the ledger's content failed: hash chain, projection or SQLite's own check."""

    code = "ledger_damaged"


class LedgerFailed(LedgerError):
    """The disk or the database failed in mid work.

    The last commit may or may not be durable, so nothing more may be sent by this process; the next start
    reads what the disk really holds.
    """

    code = "ledger_failed"


class EpochLost(LedgerError):
    """Another run has opened a newer epoch on this ledger: this one may claim and record nothing more."""

    code = "epoch_lost"
    exit_code = 6


class InvalidTransition(OmsError):
    """An event reached a state that does not allow it: a bug of ours. Nothing was written."""

    code = "invalid_transition"


class CredentialsError(OmsError):
    """The API key is missing, unreadable, too open, of a wrong kind, or was refused by the exchange."""

    code = "credentials"
    exit_code = 4


class VenueError(OmsError):
    """A write did not end in an understood yes; the subclass says what is known of it."""

    code = "venue"


class NotSent(VenueError):
    """No byte of the request was handed to the socket: it certainly had no effect."""

    code = "not_sent"
    exit_code = 6


class Refused(VenueError):
    """The exchange refused with a parsed code: a definite no to this attempt."""

    code = "refused"
    exit_code = 5

    def __init__(self, message: str, *, http_status: int, exchange_code: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.http_status = http_status
        self.exchange_code = exchange_code


class OutcomeUnknown(VenueError):
    """The request may have been acted on: only evidence from the exchange may end the doubt (P4)."""

    code = "in_doubt"
    exit_code = 3


class ReadFailed(OmsError):
    """A read of the exchange did not succeed. It is no observation and says nothing about any order."""

    code = "read_failed"
    exit_code = 6


class Interrupted(OmsError):
    """A signal ended it before anything was recorded or sent."""

    code = "interrupted"

    def __init__(self, message: str, *, exit_code: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code
