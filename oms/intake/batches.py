"""Many rows in two passes: the first validates and digests everything, the second gives intents with ids. PURE.

A batch is all or nothing at recording, and its key may come from all of its rows: so a file is read twice, and no more
than one row of it is held at a time. The exception are the caller's own client_order_ids, of which the first pass keeps
a digest and a line each (about 120 bytes) to find one that is used twice. Identical rows are legal: their ids
differ by row number.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from oms.errors import InputError, Problem
from oms.intake import ids
from oms.intake.dialects import NO_GROUPS, past_times, validate
from oms.intake.intents import Intent
from oms.intake.readers import Row
from oms.lifecycle.states import Side
from oms.units import DOLLAR_E6

__all__ = ["MAX_PROBLEMS", "Survey", "from_flags", "intents", "survey"]

_VALIDATED = (tuple, Intent)  # what a row may be once somebody has looked at it: problems, or an intent
MAX_PROBLEMS = 1_000  # kept with line, field and reason; the rest is counted


@dataclass(frozen=True, slots=True)
class Survey:
    """What the first pass over a batch found."""

    count: int  # rows, good and bad
    content_digest: bytes  # SHA-256 over the normalized rows in order, 32 bytes; of no use while there are problems
    own_ids: int  # rows that brought their own client_order_id
    cost_e6: int  # the most that all orders can cost without fees, dollars x 10^6, rounded up
    problems: tuple[Problem, ...]  # at most MAX_PROBLEMS
    problem_count: int  # all of them
    past: tuple[Problem, ...]  # times in the past: a problem only where the batch is new; at most MAX_PROBLEMS
    past_count: int  # all of them

    def key(self, name: str | None = None) -> bytes:
        """The batch key, 32 bytes: of the name if there is one, else of the content. Raises InputError (name)."""
        return ids.key_of_content(self.content_digest) if name is None else ids.key_of_name(name)

    def check(self, *, new: bool = True) -> None:
        """Raise InputError naming every problem, if there is any.

        `new` says that no such batch is recorded: only then a time in the past is a problem (P6).
        """
        found = self.problems + (self.past if new else ())
        total = self.problem_count + (self.past_count if new else 0)
        if total:
            raise _refusal(found[:MAX_PROBLEMS], total)


class _Problems:
    """Problems up to a limit, and the number of all."""

    def __init__(self) -> None:
        self.kept: list[Problem] = []
        self.count = 0

    def add(self, *problems: Problem) -> None:
        self.count += len(problems)
        self.kept += problems[: MAX_PROBLEMS - len(self.kept)]


def _refusal(problems: tuple[Problem, ...], total: int) -> InputError:
    what = str(problems[0]) if total == 1 else f"{total} problems in the input, first {problems[0]}"
    unlisted = f" ({total - len(problems)} are not listed)" if total > len(problems) else ""
    return InputError(
        f"{what}{unlisted}; nothing was recorded and nothing was sent",
        hint="correct it and submit again: a batch is recorded whole or not at all",
        problems=problems,
    )


def survey(rows: Iterable[Row], now_us: int | None = None, groups: Mapping[str, str] = NO_GROUPS) -> Survey:
    """Validate every row and digest them all, in flat memory. Raises nothing on any content.

    `now_us` (exchange time) finds times in the past; they are listed apart, see `Survey.check`. `groups` are the order
    groups that rows may name.
    """
    problems, past = _Problems(), _Problems()
    digest = _content_hash()
    seen: dict[int, int | None] = {}
    count = cost_e8 = 0
    for line, row in rows:
        intent = row if isinstance(row, _VALIDATED) else validate(row, line, groups=groups)
        if isinstance(intent, tuple):
            # A problem without a line is one of the whole input, not of a row.
            count += not isinstance(row, tuple) or line is not None
            problems.add(*intent)
            continue
        count += 1
        digest.update(ids.normalized(intent).encode() + b"\n")
        price_e6 = intent.price_e6 if intent.side is Side.BID else DOLLAR_E6 - intent.price_e6
        cost_e8 += price_e6 * intent.count_e2
        if intent.own_id:
            problems.add(*_used_twice(intent, line, seen))
        if now_us is not None and (intent.expiration_time is not None or intent.submit_before_us is not None):
            past.add(*past_times(intent, line, now_us))
        if count > ids.MAX_ROWS:
            problems.add(Problem(line, "", f"a batch has at most {ids.MAX_ROWS} rows: split the file"))
            break
    if not count and not problems.count:
        problems.add(Problem(None, "", "there are no orders in the input"))
    return Survey(
        count=count,
        content_digest=digest.digest(),
        own_ids=len(seen),
        cost_e6=-(-cost_e8 // 100),
        problems=tuple(problems.kept),
        problem_count=problems.count,
        past=tuple(past.kept),
        past_count=past.count,
    )


def _content_hash() -> "hashlib._Hash":
    return hashlib.sha256(b"oms rows v1\n")


def _used_twice(intent: Intent, line: int | None, seen: dict[int, int | None]) -> tuple[Problem, ...]:
    key = int.from_bytes(hashlib.sha256(intent.client_order_id.encode()).digest()[:16], "big")
    if key not in seen:
        seen[key] = line
        return ()
    reason = f"{intent.client_order_id} is used on line {seen[key]} already: every order needs an id of its own"
    return (Problem(line, "client_order_id", reason),)


def intents(
    rows: Iterable[Row], key: bytes, expected: Survey | None = None, groups: Mapping[str, str] = NO_GROUPS
) -> Iterator[Intent]:
    """The intents of a batch in order, each with its client_order_id: the second pass over the same rows.

    Raises InputError at a bad row and, with `expected`, where the rows are not those that were surveyed (the file was
    changed in between): at the latest in place of the last row, so whoever has them all has the right ones.
    """
    digest = _content_hash()
    number = 0
    for number, (line, row) in enumerate(rows, 1):
        intent = row if isinstance(row, _VALIDATED) else validate(row, line, groups=groups)
        if isinstance(intent, tuple):
            raise _refusal(intent, len(intent))
        text = ids.normalized(intent)
        if expected is not None:
            digest.update(text.encode() + b"\n")
            if number >= expected.count and (number, digest.digest()) != (expected.count, expected.content_digest):
                raise _changed()
        yield ids.assign(intent, key, number, text)
    if expected is not None and number < expected.count:
        raise _changed()


def _changed() -> InputError:
    return InputError(
        "the input changed while it was read; nothing of it was recorded and nothing was sent",
        hint="submit it again when nobody is writing to it",
    )


def from_flags(fields: Mapping[str, object], key: bytes, now_us: int | None = None) -> Intent:
    """The one intent that flags or keyword arguments describe, as row 1 of the batch of `key`.

    Raises InputError naming every problem; a time in the past is one where `now_us` (exchange time) is given.
    """
    intent = validate(fields, None, now_us)
    if isinstance(intent, tuple):
        raise _refusal(intent, len(intent))
    return ids.assign(intent, key, 1)
