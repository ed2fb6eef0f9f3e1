"""Faults: what goes wrong between a client and the exchange, by script or drawn from a seed.

A rule says which requests it hits and what happens to them. `commit` says on which side of the exchange it
goes wrong: with it the request is processed and only the answer suffers, without it the exchange never sees
the request. The table `KINDS` lists every kind; `docs/sandbox.md` explains the fields.
"""

import re
from typing import Any, NamedTuple

import msgspec

from oms.sandbox import routes
from oms.sandbox.seed import Seed


class Kind(NamedTuple):
    """One kind of fault: whether the request is processed unless the rule says otherwise, and what happens."""

    commit: bool
    meaning: str


KINDS = {
    "drop": Kind(False, "the connection ends without an answer, after `ms`"),
    "hang": Kind(True, "nothing comes for `ms` (30000), then the connection ends"),
    "late": Kind(False, "the connection ends after `hold_ms`; the request arrives `ms` later, checked anew then"),
    "duplicate": Kind(True, "the same bytes arrive a second time `ms` later"),
    "delay": Kind(True, "the answer comes `ms` late"),
    "error": Kind(False, "`status` (503) with a JSON error body"),
    "html": Kind(False, "`status` (502) with a proxy's HTML page"),
    "answer": Kind(False, "exactly `status`, `headers` and `body`"),
    "redirect": Kind(False, "`status` (307) to `body`"),
    "status": Kind(True, "the real answer under another `status`"),
    "empty": Kind(True, "the real status with an empty body"),
    "not_json": Kind(True, "the real status with a body that is not JSON"),
    "other_client_order_id": Kind(True, "the answer names another client_order_id"),
    "other_order_id": Kind(True, "the answer names another order_id"),
    "no_client_order_id": Kind(True, "the answer leaves client_order_id out"),
    "no_order_id": Kind(True, "the answer leaves order_id out"),
    "nulls": Kind(True, "null where a field may be left out, and for an empty list"),
    "cut_body": Kind(True, "the headers promise more than arrives: `keep` bytes of the body"),
    "cut_headers": Kind(True, "the connection ends within the headers, after the status line"),
    "trickle": Kind(True, "the answer comes one byte every `ms` (300)"),
    "rate_limited": Kind(False, "429"),
    "clock": Kind(False, "401 header_timestamp_expired"),
    "paused": Kind(False, "409 trading_is_paused, or exchange_is_paused with `what`: \"exchange\""),
    "forbidden": Kind(False, "403 with a code"),
    "not_found": Kind(False, "404 with a code"),
    "gone": Kind(False, "410 deprecated_v1_order_endpoint"),
    "stale": Kind(True, "what the request changed shows in reads only `ms` later; the watermark holds back too"),
    "empty_list": Kind(True, "a listing without rows and without a cursor"),
    "repeat_cursor": Kind(True, "a listing whose cursor leads back to the same page"),
    "reorder": Kind(True, "the items of a batch answer come in reverse order"),
    "omit_items": Kind(True, "only the first `keep` items of a batch answer come"),
}  # fmt: skip

# What a seed draws from: for writes everything that can happen to one, for reads what makes a list a lie.
WRITE_FAULTS = (
    '{"kind":"drop"}',
    '{"kind":"drop","commit":true}',
    '{"kind":"late","ms":700}',
    '{"kind":"late","ms":2500,"hold_ms":200}',
    '{"kind":"error"}',
    '{"kind":"error","commit":true}',
    '{"kind":"error","status":408,"commit":true}',
    '{"kind":"html","commit":true}',
    '{"kind":"cut_body"}',
    '{"kind":"cut_headers"}',
    '{"kind":"empty"}',
    '{"kind":"not_json"}',
    '{"kind":"no_client_order_id"}',
    '{"kind":"other_client_order_id"}',
    '{"kind":"rate_limited"}',
    '{"kind":"clock"}',
    '{"kind":"delay","ms":300}',
    '{"kind":"duplicate","ms":400}',
    '{"kind":"stale","ms":800}',
)
READ_FAULTS = (
    '{"kind":"drop"}',
    '{"kind":"error"}',
    '{"kind":"html"}',
    '{"kind":"cut_body"}',
    '{"kind":"rate_limited"}',
    '{"kind":"empty_list"}',
    '{"kind":"delay","ms":300}',
)


class Match(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which requests: all that is given must hold. `path` and `client_order_id` are searched as regular expressions."""

    method: str | None = None
    path: str | None = None
    operation: str | None = None
    client_order_id: str | None = None
    ticker: str | None = None
    nth: int = 1  # the first request to be hit, counted among those that match
    times: int | None = 1  # how many are hit; null: all from then on


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What happens. Fields a kind does not name are ignored; `commit` null means: as is usual for the kind."""

    kind: str
    commit: bool | None = None
    ms: int | None = None
    hold_ms: int = 0
    status: int | None = None
    body: str = ""
    headers: dict[str, str] = {}
    keep: int | None = None
    what: str = "trading"
    reset: bool = False

    @property
    def commits(self) -> bool:
        """Is the request processed?"""
        return KINDS[self.kind].commit if self.commit is None else self.commit

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no fault is called {self.kind!r}; there are: {', '.join(sorted(KINDS))}")


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One line of a fault script."""

    fault: Fault
    match: Match = Match()

    def __post_init__(self) -> None:
        if self.match.operation is not None and self.match.operation not in routes.NAMES:
            raise ValueError(
                f"no operation is called {self.match.operation!r}; there are: {', '.join(sorted(routes.NAMES))}"
            )
        for pattern in (self.match.path, self.match.client_order_id):
            if pattern is not None:
                re.compile(pattern)


class Subject(NamedTuple):
    """What a fault rule looks at in a request."""

    method: str
    path: str
    operation: str
    client_order_ids: tuple[str, ...]
    tickers: tuple[str, ...]
    body_sha256: str


def read_script(text: str | bytes) -> list[Rule]:
    """The rules of a fault script, a JSON list. Raises ValueError naming what is wrong."""
    try:
        rows = msgspec.json.decode(text)
        return read_rules(rows)
    except msgspec.DecodeError as exc:
        raise ValueError(f"the fault script is not JSON: {exc}") from exc


def read_rules(rows: Any) -> list[Rule]:
    """Rules from their parsed JSON; raises ValueError naming the rule that is wrong."""
    if not isinstance(rows, list):
        raise ValueError("a fault script is a JSON list of rules")
    rules = []
    for number, row in enumerate(rows, 1):
        if isinstance(row, dict) and isinstance(row.get("fault"), str):
            row = {**row, "fault": {"kind": row["fault"]}}
        try:
            rules.append(msgspec.convert(row, Rule))
        except (msgspec.ValidationError, re.error) as exc:
            raise ValueError(f"fault rule {number}: {exc}") from exc
    return rules


class Faults:
    """Decides which request suffers what: the first rule of the script that hits, else the seed's draw."""

    def __init__(self, rules: list[Rule], rate: float = 0.0, seed: str = "0") -> None:
        self.set_rules(rules)
        self.set_rate(rate, seed)

    def set_rules(self, rules: list[Rule]) -> None:
        """Replace the script; counting starts anew."""
        self.rules = rules
        self._matched = [0] * len(rules)

    def set_rate(self, rate: float, seed: str) -> None:
        """Draw faults for a share of the requests (0.0 to 1.0) from a seed; counting starts anew."""
        self.rate = rate
        self.seed = seed
        self._met: dict[tuple[str, ...], int] = {}

    @property
    def is_idle(self) -> bool:
        """Can nothing go wrong?"""
        return not self.rules and not self.rate

    def draw(self, subject: Subject) -> Fault | None:
        """The fault that this request meets."""
        for number, rule in enumerate(self.rules):
            if not _hits(rule.match, subject):
                continue
            self._matched[number] += 1
            turn = self._matched[number] - max(1, rule.match.nth)
            if turn >= 0 and (rule.match.times is None or turn < rule.match.times):
                return rule.fault
        return self._draw_by_seed(subject) if self.rate else None

    def _draw_by_seed(self, subject: Subject) -> Fault | None:
        """Drawn by what is asked and how often it was asked before, so that threads cannot change the draw."""
        if "/portfolio/" not in subject.path and "/historical/" not in subject.path:
            return None
        label = (subject.method, subject.path, *(subject.client_order_ids or (subject.body_sha256,)))
        turn = self._met[label] = self._met.get(label, 0) + 1
        seed = Seed(self.seed)
        if seed.below(1_000_000, *label, turn, "is_hit") >= self.rate * 1_000_000:
            return None
        choices = READ_FAULTS if subject.method == "GET" else WRITE_FAULTS
        return msgspec.json.decode(seed.pick(choices, *label, turn, "kind"), type=Fault)


def _hits(match: Match, subject: Subject) -> bool:
    return (
        match.method in (None, subject.method)
        and match.operation in (None, subject.operation)
        and (match.path is None or re.search(match.path, subject.path) is not None)
        and (match.ticker is None or match.ticker in subject.tickers)
        and (
            match.client_order_id is None
            or any(re.search(match.client_order_id, given) for given in subject.client_order_ids)
        )
    )
