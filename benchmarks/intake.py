"""What intake costs per row, stage by stage: `python benchmarks/intake.py [ROWS]`.

Two kinds of files: rows as people write them (few tickers, prices and terms, which come again), and rows in which
nothing comes again, so that no remembered reading helps. Each figure is the best of three runs, in microseconds of one
core. The budget of the whole of intake is 25 us a row of CSV as people write it.
"""

import sys
import time
from collections.abc import Callable, Iterator
from io import BytesIO

from oms.intake import ids
from oms.intake.batches import intents, survey
from oms.intake.dialects import validate
from oms.intake.intents import body_digest, request_body
from oms.intake.readers import Format, Row, read_rows

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


def best(work: Callable[[], object], count: int) -> int:
    """Nanoseconds a row of the best of three runs."""
    taken = []
    for _ in range(3):
        start = time.perf_counter_ns()
        work()
        taken.append(time.perf_counter_ns() - start)
    return min(taken) // count


def measure(data: bytes, fmt: Format, count: int) -> dict[str, int]:
    def read() -> Iterator[Row]:
        return read_rows(BytesIO(data), fmt)

    found = survey(read())
    found.check()
    key = found.key()
    lines = list(read())
    made = list(intents(lines, key, found))
    bodies = [request_body(intent) for intent in made]
    stages: dict[str, Callable[[], object]] = {
        "read": lambda: [None for _ in read()],
        "validate": lambda: [validate(row, line) for line, row in lines if not isinstance(row, tuple)],
        "id": lambda: [ids.assign(intent, key, row) for row, intent in enumerate(made, 1)],
        "row digest": lambda: [ids.row_digest(intent) for intent in made],
        "body": lambda: [request_body(intent) for intent in made],
        "body digest": lambda: [body_digest(body) for body in bodies],
        "pass 1: survey": lambda: survey(read()),
        "pass 2: intents": lambda: [None for _ in intents(read(), key, found)],
    }
    return {name: best(work, count) for name, work in stages.items()}


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    for kind, lines in (("usual rows", usual), ("nothing comes again", unlike)):
        for fmt in (Format.CSV, Format.JSONL):
            text = HEADER + "".join(lines(count)) if fmt is Format.CSV else "".join(as_jsonl(lines(count)))
            stages = measure(text.encode(), fmt, count)
            parts = ("pass 1: survey", "pass 2: intents", "row digest", "body", "body digest")
            stages["both passes, body, digests"] = sum(stages[name] for name in parts)
            print(f"{kind}, {fmt}, {count} rows")
            for name, ns in stages.items():
                print(f"  {name:28} {ns // 1000:3d}.{ns % 1000 // 10:02d} us/row")


if __name__ == "__main__":
    main()
