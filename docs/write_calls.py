"""Writes the calls of `Oms`, and those of `Line`, in docs/python.md from the signatures and docstrings of the program.

python docs/write_calls.py           rewrite what is written by machine
python docs/write_calls.py --check   say whether it is in step (exit 1 if not)
"""

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from oms.app import Oms
from oms.app.line import Line

WIDTH = 80
PAGE = Path(__file__).resolve().parent / "python.md"
BLOCK = re.compile(r"(<!-- written: calls ([A-Za-z_. ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def written(text: str) -> str:
    """The page with the signature and docstring of each call that it names."""
    return BLOCK.sub(lambda block: f"{block[1]}{''.join(map(_call, block[2].split()))}{block[3]}", text)


def missing(text: str) -> set[str]:
    """Public calls that the page does not name."""
    named = {name for block in BLOCK.finditer(text) for name in block[2].split()}
    return {name for kind in ("", "Line.") for name in _public(kind)} - named


def _public(kind: str) -> list[str]:
    found = inspect.getmembers(Line if kind else Oms, lambda member: callable(member) or isinstance(member, property))
    return [kind + name for name, _ in found if not name.startswith("_")]


def _call(name: str) -> str:
    call = getattr(Line if name.startswith("Line.") else Oms, name.removeprefix("Line."))
    if isinstance(call, property):
        returned = _type(inspect.signature(call.fget).return_annotation) if call.fget is not None else ""
        return f"\n```text\n{name}: {returned}\n```\n\n{inspect.getdoc(call)}\n"
    parameters = list(_parameters(call))
    given = ", ".join(parameters)
    if len(given) > WIDTH:
        given = "".join(f"\n    {parameter}," for parameter in parameters) + "\n"
    returned = _type(inspect.signature(call).return_annotation)
    return f"\n```text\n{name}({given}) -> {returned}\n```\n\n{inspect.getdoc(call)}\n"


def _parameters(call: object) -> Iterator[str]:
    assert callable(call)
    starred = False
    for parameter in inspect.signature(call).parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.VAR_POSITIONAL:
            starred = True
            yield f"*{parameter.name}: {_type(parameter.annotation)}"
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            starred = True
            yield "*"
        default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
        yield f"{parameter.name}: {_type(parameter.annotation)}{default}"


def _type(annotation: object) -> str:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(r"\b(?:oms|collections|pathlib|typing)\.(?:\w+\.)*", "", text).strip("'\"")


def main() -> int:
    text = PAGE.read_text(encoding="utf-8")
    wanted = written(text)
    if "--check" in sys.argv[1:]:
        lacking = ", ".join(sorted(missing(text)))
        if lacking:
            print(f"{PAGE.name} does not name: {lacking}")
        else:
            print("in step" if wanted == text else f"{PAGE.name} is out of step: run python docs/write_calls.py")
        return int(wanted != text or bool(lacking))
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
