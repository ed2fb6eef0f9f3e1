"""A page of documentation as steps, and a terminal that runs them: what a page shows is what oms says.

A page is Markdown. Two kinds of fenced blocks are steps, in their order: a `console` block is commands (after `$ `)
with what they print; a block of another kind whose first line is a comment naming a file (`# bot.py`) is that file.
`<!-- run: NAME -->` names a preparation that the test supplies, such as another exchange. A line of output that is
just `...` stands for any number of lines.
"""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import sysconfig
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from oms.cli.playground import wait_until
from oms.sandbox.launch import running

PROJECT = Path(__file__).resolve().parent.parent
COLUMNS = 110
DEADLINE_S = 90
HOME_SHOWN = "/home/someone"
ELISION = "..."

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$|^<!-- run: ([a-z ]+) -->$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (\S+\.\w+)$")


@dataclass(frozen=True)
class Command:
    """One command of a page with the output shown under it; `place` is where that output stands in the text."""

    words: str
    shown: str
    line: int
    place: tuple[int, int]


@dataclass(frozen=True)
class File:
    """A file that the page tells the reader to write."""

    name: str
    text: str


@dataclass(frozen=True)
class Preparation:
    """Something that has to be so before the next step."""

    name: str


Step = Command | File | Preparation


def steps(text: str) -> Iterator[Step]:
    """Everything a page does, in order."""
    for block in _BLOCK.finditer(text):
        if block[3]:
            yield Preparation(block[3])
        elif block[1] == "console":
            yield from _commands(text, block.start(2), block.end(2))
        elif named := _FILE.match(block[2].partition("\n")[0]):
            yield File(named[1], block[2])


def _commands(text: str, start: int, end: int) -> Iterator[Command]:
    """The commands of one console block. A command goes on after a backslash at the end of its line."""
    begins = [start + found.start() for found in re.finditer(r"^\$ ", text[start:end], re.MULTILINE)]
    first_line = text.count("\n", 0, start) + 1
    assert begins[:1] == [start], f"line {first_line}: a console block begins with a command"
    for begin, until in zip(begins, [*begins[1:], end], strict=True):
        said = re.match(r"(?:.*\\\n)*.*\n", text[begin:until])
        assert said is not None
        output = begin + said.end()
        line = text.count("\n", 0, begin) + 1
        yield Command(said[0][2:].rstrip("\n"), text[output:until], line, (output, until))


# -- comparing --------------------------------------------------------------------------------------------------------

# What may differ from one run to the next, and nothing else: moments, durations, ids that the exchange draws, ports,
# versions, sizes of disks, counts of tests and of orders seen in a race. Runs of blanks are one: a shorter number
# moves a column.
_VOLATILE = (
    (r"\b\d+ passed(?:, \d+ \w+)* in [\d.]+s(?: \([\d:]+\))?", "<some> passed in <duration>"),
    (r"(?m)^(ok +(?:sqlite|file system)) .*$", r"\1 <of this machine>"),
    (r"\b\d+ orders seen, \d+ known ones", "<some> seen"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z", "<time>"),
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "<id>"),
    (r"[+-]\d+(?:\.\d+)? (?:ms|s)\b", "<after>"),
    (r"\b\d+(?:\.\d+)? ?(?:s|ms|min)\b", "<duration>"),
    (r"127\.0\.0\.1:\d+", "<host>"),
    (r"\b\d+\.\d+\.\d+\b", "<version>"),
    (r"\b\d+ MB\b", "<size>"),
    (r"[ \t]+", " "),
)


def normalized(text: str) -> list[str]:
    """The lines of an output without what may differ from run to run."""
    for pattern, replacement in _VOLATILE:
        text = re.sub(pattern, replacement, text)
    return [line.strip() for line in text.strip().splitlines()]


def agrees(shown: str, said: str) -> bool:
    """Whether a page shows what was said, up to what may differ and to what it leaves out by `...`."""
    lines = normalized(shown)
    pattern = "".join(r"(?:.*\n)*?" if line == ELISION else re.escape(line) + r"\n" for line in lines)
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in normalized(said))) is not None


# -- running ----------------------------------------------------------------------------------------------------------


@dataclass
class Terminal:
    """A person's shell in a fresh clone: exports and the directory last from one command to the next."""

    clone: Path
    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, words: str) -> tuple[str, int]:
        """Type one command; what appeared on the screen, and the exit code."""
        kept = self.home / ".shell"
        script = f"cd -- {self.clone}\n[ -f {kept} ] && . {kept}\n{words}\ncode=$?\nexport -p >{kept}\nexit $code\n"
        said, code = _on_screen(["bash", "-c", script], self.variables())
        return said.replace(str(self.home.resolve()), HOME_SHOWN).replace(str(self.home), HOME_SHOWN).replace(
            "\r\n", "\n"
        ), code

    def variables(self) -> dict[str, str]:
        """The environment in which commands are typed."""
        kept = {name: os.environ[name] for name in ("LANG", "TZ", "PYTHONDONTWRITEBYTECODE") if name in os.environ}
        shown = {"TERM": "dumb", "COLUMNS": str(COLUMNS), "NO_COLOR": "1"}
        return {**kept, **shown, "HOME": str(self.home), **self.environment}


def _on_screen(words: list[str], environment: Mapping[str, str]) -> tuple[str, int]:
    pid, ours = pty.fork()
    if pid == 0:
        os.execvpe(words[0], words, dict(environment))
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    said = b""
    deadline = time.monotonic() + DEADLINE_S
    try:
        while time.monotonic() < deadline:
            if not select.select([ours], [], [], 0.1)[0]:
                continue
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            said += piece
        else:
            os.kill(pid, signal.SIGKILL)
    finally:
        os.close(ours)
    return said.decode(errors="replace"), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def fresh_clone(directory: Path, *, is_active: bool = True) -> Terminal:
    """A terminal in a clone whose `quickstart.py` finds its `.venv` complete: nothing is installed from anywhere.

    `is_active`: as after `source .venv/bin/activate`.
    """
    home, clone = directory, directory / "oms"
    clone.mkdir()
    for name in ("oms", "migrations", "examples", "docs", "tests"):
        (clone / name).symlink_to(PROJECT / name)
    for name in ("quickstart.py", "pyproject.toml", "config.example.toml"):
        (clone / name).write_bytes((PROJECT / name).read_bytes())
    _lay_out_venv(clone)
    programs = directory / ".programs"
    programs.mkdir()
    _program(programs / "python3", f'exec {sys.executable} "$@"')
    path = [str(programs), *os.defpath.split(os.pathsep)]
    if is_active:
        path.insert(0, str(clone / ".venv" / "bin"))
    return Terminal(clone, home, {"PATH": os.pathsep.join(path)})


def _lay_out_venv(clone: Path) -> None:
    venv = clone / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True, capture_output=True)
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    packages = sysconfig.get_paths()["purelib"]
    line = f"{clone}\nimport site; site.addsitedir({packages!r})\n"
    (venv / "lib" / version / "site-packages" / "packages.pth").write_text(line)
    _program(venv / "bin" / "oms", f'exec {venv}/bin/python -m oms "$@"')
    _program(venv / "bin" / "pytest", f'exec {venv}/bin/python -m pytest "$@"')
    (venv / ".oms-installed").write_text(_stamp(clone))


def _stamp(clone: Path) -> str:
    program = (
        "import quickstart as q; print(q.wanted_stamp((q.ROOT / 'pyproject.toml').read_bytes(), 'test').text(), end='')"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=clone, capture_output=True, text=True, check=True)
    return done.stdout


def _program(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def stop_exchanges(directory: Path) -> None:
    """End every sandbox that runs below this directory."""
    for endpoint in directory.rglob("endpoint.json"):
        _stop_exchange(endpoint.parent)


def _stop_exchange(directory: Path) -> None:
    found = running(directory)
    if found is not None:
        with suppress(ProcessLookupError):
            os.kill(found.pid, signal.SIGTERM)
        wait_until(lambda: running(directory) is None, "the sandbox exchange stopped")


Preparations = Mapping[str, Callable[[Terminal], None]]


def play(page: Path, terminal: Terminal, preparations: Preparations) -> Iterator[tuple[Command, str, int]]:
    """Do everything a page says, in order; each command with what appeared, and its exit code."""
    for step in steps(page.read_text(encoding="utf-8")):
        match step:
            case File():
                path = terminal.clone / step.name.replace("~", str(terminal.home), 1)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(step.text, encoding="utf-8")
            case Preparation():
                preparations[step.name](terminal)
            case Command():
                yield step, *terminal.run(step.words)
