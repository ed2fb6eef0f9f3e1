"""Hostile text from the exchange reaches terminal, logs, JSON and CSV harmless: real commands, a forged exchange."""

import csv
import io
import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.shells import Answer, Shell
from tests.contract.worlds import row
from tests.lab.between import Carry, between, is_create
from tests.lab.fuzzing import HOSTILE
from tests.venue.hostile import Conn, Seen, http

pytestmark = pytest.mark.slow

# What is free text at the exchange; ids and numbers are read or not read at all.
FREE = (
    "title",
    "subtitle",
    "yes_sub_title",
    "no_sub_title",
    "rules_primary",
    "status",
    "message",
    "details",
)
# Everything that moves a cursor, colors, rings, ends a line early, or turns the direction of writing.
ACTING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
FORMS = ("table", "json", "jsonl", "csv")


class Liar:
    """Lets the exchange answer, and puts hostile text into all that is free text; refuses creates while `refuses`."""

    def __init__(self) -> None:
        self.texts = itertools.cycle(HOSTILE)
        self.refuses = False

    def __call__(self, conn: Conn, seen: Seen, carry: Carry) -> bytes | None:
        if self.refuses and is_create(seen):
            text = next(self.texts)
            return http(400, {"error": {"code": "invalid_order", "message": text, "details": next(self.texts)}})
        answer = carry(seen)
        head, _, body = answer.partition(b"\r\n\r\n")
        status = int(head.split()[1])
        try:
            return http(status, self.spoiled(json.loads(body)))
        except ValueError:
            return answer

    def spoiled(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.spoiled(each) for each in value]
        if isinstance(value, dict):
            return {
                name: next(self.texts) if name in FREE and isinstance(each, str) else self.spoiled(each)
                for name, each in value.items()
            }
        return value


@pytest.fixture
def liar() -> Liar:
    return Liar()


@pytest.fixture
def through(shell: Shell, liar: Liar) -> Iterator[dict[str, str]]:
    """The variables that lead a command through the liar."""
    with between(shell.sandbox, liar) as server:
        yield {"OMS_VENUE__SANDBOX__BASE_URL": server.base_url}


def harmless(answer: Answer, form: str) -> None:
    """Nothing in either stream acts, and the answer is whole in its own form."""
    for text in (answer.out, answer.err):
        found = ACTING.search(text.replace("\r\n", "\n"))
        assert found is None, (found, answer)
    if form == "json":
        json.loads(answer.out)
    if form == "jsonl":
        assert all(isinstance(json.loads(line), dict) for line in answer.out.splitlines())
    if form == "csv":
        rows = list(csv.reader(io.StringIO(answer.out, newline="")))
        assert len({len(each) for each in rows}) <= 1, "a cell broke its row"
        for cell in itertools.chain.from_iterable(rows):
            is_number = re.fullmatch(r"[-+]?[0-9.]+", cell)
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r")) or is_number, cell


def ask(shell: Shell, through: dict[str, str], *words: str, codes: set[int] = frozenset({0})) -> list[Answer]:  # type: ignore[assignment]
    """One command in every form."""
    answers = []
    for form in FORMS:
        answers.append(shell.oms(*words, "-o", form, env=through))
        assert answers[-1].code in codes, (words, answers[-1])
        harmless(answers[-1], form)
    return answers


@pytest.mark.fault(79, 89)
def test_markets_with_hostile_titles_are_only_text(shell: Shell, through: dict[str, str]) -> None:
    table, listed, _, as_csv = ask(shell, through, "markets")
    assert len(listed.json["markets"]) == len(as_csv.table) > 10
    said = " ".join(each["title"] + each["status"] for each in listed.json["markets"])
    assert "<script>alert(1)</script>" in said
    assert "[bold]markup[/bold]" in said
    assert len(table.out.splitlines()) == len(as_csv.table) + 1


@pytest.mark.fault(89)
def test_refusals_with_hostile_words_are_only_text_wherever_they_are_told(
    shell: Shell, liar: Liar, through: dict[str, str]
) -> None:
    liar.refuses = True
    rows = [row(count=str(n + 1)) for n in range(9)]
    for number, form in enumerate(FORMS):
        file = shell.file(f"{number}.jsonl", [{**each, "price": f"0.0{number + 1}"} for each in rows])
        answer = shell.oms("submit", file, "-o", form, "-vv", env=through)
        assert answer.code == 5, answer
        harmless(answer, form)
    orders = ask(shell, through, "orders")[1].orders
    assert {order["status"] for order in orders} == {"rejected"}
    name = orders[0]["client_order_id"]
    ask(shell, through, "why", name)
    ask(shell, through, "status")
    assert shell.sandbox.orders() == []
    for path in shell.home.rglob("*.log"):
        assert ACTING.search(path.read_text()) is None


@pytest.mark.fault(65, 89)
def test_orders_with_hostile_words_are_reconciled_and_shown_as_text(shell: Shell, through: dict[str, str]) -> None:
    """Foreign orders as well: their ids are the words of whoever made them."""
    assert shell.submit([row(), row(count="2")]).code == 0
    shell.sandbox.create(client_order_id="=cmd|calc")
    ask(shell, through, "reconcile", codes={0, 3, 4, 6, 7})
    ask(shell, through, "orders")
    ask(shell, through, "doctor", codes={0, 7})
    assert len(shell.sandbox.orders()) >= 2


@pytest.mark.fault(89)
@pytest.mark.parametrize("status", [400, pytest.param(503, marks=pytest.mark.lab)])
def test_an_error_page_of_hostile_bytes_is_only_text(shell: Shell, status: int) -> None:
    """Everything that is asked is answered so, in bytes that are no text at all as well."""
    page = "".join(HOSTILE).encode("utf-8", "surrogatepass") + bytes(range(256))

    def act(conn: Conn, seen: Seen, carry: Carry) -> bytes | None:
        return http(status, page, "Content-Type: text/html")

    with between(shell.sandbox, act) as server:
        lied = {
            "OMS_VENUE__SANDBOX__BASE_URL": server.base_url,
            "OMS_SUBMIT__WAIT_S": "0.1",
            "OMS_VENUE__TIMEOUT_S": "0.5",
        }
        for words in (["markets"], ["reconcile"], ["submit", "-vv", *_flags()]):
            for form in ("table", "json"):
                answer = shell.oms(*words, "-o", form, env=lied)
                assert answer.code in (4, 6), answer
                harmless(answer, form)
    assert shell.sandbox.orders() == []


def _flags() -> list[str]:
    return [word for name, value in row().items() for word in (f"--{name.replace('_', '-')}", str(value))]


def test_what_acts_would_be_noticed() -> None:
    for text in HOSTILE[:5]:
        assert ACTING.search(text.replace("\n", "\n\x1b") if "\n" in text else text), ascii(text)
