"""The reader of pages tells what a page does and whether it shows what was said; it must not be lenient."""

import pages
import pytest

PAGE = """\
# Title

<!-- run: an exchange -->
```console
$ oms submit \\
    orders.csv
1 resting (0.3 s)
$ true
```

```python
# bot.py
print()
```

```python
print("only shown")
```
"""


def test_a_page_is_its_preparations_commands_and_files_in_order() -> None:
    preparation, submit, quiet, file = pages.steps(PAGE)
    assert preparation == pages.Preparation("an exchange")
    assert isinstance(submit, pages.Command)
    assert (submit.words, submit.shown, submit.line) == ("oms submit \\\n    orders.csv", "1 resting (0.3 s)\n", 5)
    assert PAGE[slice(*submit.place)] == submit.shown
    assert isinstance(quiet, pages.Command)
    assert (quiet.words, quiet.shown) == ("true", "")
    assert file == pages.File("bot.py", "# bot.py\nprint()\n")


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ("done in 3.2 s", "done in 14 s"),
        ("at 2026-11-22T23:04:02.736745Z", "at 2027-01-02T03:04:05Z"),
        ("order 6dc11806-056d-4881-8931-a57fc31eadb2", "order ee43c6a4-591f-4154-b260-a9968acae241"),
        ("a    b", "a b"),
        ("...\n12 passed, 1 skipped in 3.00s", "....\n3 passed in 1s"),
        ("first\n...\nlast", "first\nlast"),
    ],
)
def test_what_may_differ_does_not_matter(shown: str, said: str) -> None:
    assert pages.agrees(shown, said)


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ("1 resting", "2 resting"),
        ("at 0.5600", "at 0.5700"),
        ("resting", "resting\nerror: and more"),
        ("", "something"),
        ("something", ""),
        ("first\n...", "second\nfirst"),
        ("3 orders in doubt", "3 orders"),
    ],
)
def test_what_must_not_differ_matters(shown: str, said: str) -> None:
    assert not pages.agrees(shown, said)
