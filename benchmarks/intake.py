"""What intake costs per row, stage by stage: `python benchmarks/intake.py [ROWS]`.

Two kinds of files: rows as people write them (few tickers, prices and terms, which come again), and rows in which
nothing comes again, so that no remembered reading helps. Figures are microseconds of CPU. The budget of the whole of
intake (both passes, the request's body and the digests) is 25 us a row of CSV as people write it.
"""

import time
from collections.abc import Callable, Iterator
from io import BytesIO

from figures import Asked, Figure, Told, options, run

from oms.intake import ids
from oms.intake.batches import intents, survey
from oms.intake.dialects import validate
from oms.intake.intents import body_digest, request_body
from oms.intake.readers import Format, Row, read_rows

BUDGET_US = 25
HEADER = "ticker,action,side,count,price,expiration_time,client_order_id,tag\n"


def usual(count: int) -> Iterator[str]:
    for n in range(count):
        action, side = ("buy", "sell")[n % 2], ("yes", "no")[n % 3 % 2]
        yield f"KXBTC-26SEP30-T{n % 500},{action},{side},{1 + n % 40},0.{1 + n % 99:02d},,,t{n % 7}\n"


def unlike(count: int) -> Iterator[str]:
    for n in range(count):
        yield f"KXBTC-T{n},buy,no,{1 + n}.25,0.{1 + n % 9999:04d},{1_900_000_000 + n},own-{n},tag {n}\n"


def as_jsonl(lines: Iterator[str]) -> Iterator[str]:
    keys = HEADER.strip().split(",")
    for line in lines:
        pairs = zip(keys, line.strip().split(","), strict=True)
        yield "{" + ",".join(f'"{k}":{v if k == "count" else f"{chr(34)}{v}{chr(34)}"}' for k, v in pairs if v) + "}\n"


def once(work: Callable[[], object], count: int) -> float:
    """Microseconds of CPU a row."""
    begun = time.process_time_ns()
    work()
    return (time.process_time_ns() - begun) / count / 1000


def stages_of(data: bytes, fmt: Format) -> dict[str, Callable[[], object]]:
    def read() -> Iterator[Row]:
        return read_rows(BytesIO(data), fmt)

    found = survey(read())
    found.check()
    key = found.key()
    lines = list(read())
    made = list(intents(lines, key, found))
    bodies = [request_body(intent) for intent in made]
    return {
        "read": lambda: [None for _ in read()],
        "validate": lambda: [validate(row, line) for line, row in lines if not isinstance(row, tuple)],
        "id": lambda: [ids.assign(intent, key, row) for row, intent in enumerate(made, 1)],
        "pass 1: survey": lambda: survey(read()),
        "pass 2: intents": lambda: [None for _ in intents(read(), key, found)],
        "row digest": lambda: [ids.row_digest(intent) for intent in made],
        "body": lambda: [request_body(intent) for intent in made],
        "body digest": lambda: [body_digest(body) for body in bodies],
    }


WHOLE = ("pass 1: survey", "pass 2: intents", "row digest", "body", "body digest")


def measure(asked: Asked, told: Told) -> None:
    count = asked.options.rows or (5_000 if asked.is_short else 50_000)
    for kind, lines in (("usual rows", usual), ("nothing comes again", unlike)):
        for fmt in (Format.CSV, Format.JSONL):
            text = HEADER + "".join(lines(count)) if fmt is Format.CSV else "".join(as_jsonl(lines(count)))
            stages = stages_of(text.encode(), fmt)
            samples = {name: [once(work, count) for _ in range(asked.rounds)] for name, work in stages.items()}
            if not asked.is_short:
                for name, taken in samples.items():
                    told.add(Figure(f"{kind}, {fmt}: {name}", taken, "us/row"))
            whole = [sum(row) for row in zip(*(samples[name] for name in WHOLE), strict=True)]
            budget = BUDGET_US if lines is usual and fmt is Format.CSV else None
            told.add(Figure(f"{kind}, {fmt}: all of intake", whole, "us/row", at_most=budget))


if __name__ == "__main__":
    parser = options(__doc__ or "")
    parser.add_argument("rows", nargs="?", type=int, help="rows of each file (default 50,000; --short: 5,000)")
    run("intake", parser, measure)
