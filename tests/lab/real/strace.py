"""Real lives of oms under strace: what they asked of the kernel, and SIGKILL or errors at a chosen call.

`live` is `python -m oms` in an interpreter of its own; `forked` is the same command line in a child that has imported
everything (tests/lab/real/waiting.py), which strace joins before it goes on: a fifth of the time.

An injection counts the calls of one name, those on `paths` alone where paths are given, and each thread for itself. It
happens before the kernel acts. With --seccomp-bpf strace ignores injections silently, so it is never used here.
"""

import ast
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.crash.lives import Nursery, World, wait_for

MISSING = "real system calls are NOT TESTED: strace is not installed (Debian, Ubuntu: apt-get install strace)"
KILL = "signal=SIGKILL"
_LINE = re.compile(r"(?P<pid>\d+) +(?:<\.\.\. )?(?P<name>\w+)(?:\((?P<args>.*)| resumed>(?P<rest>.*))")
_ENDED = re.compile(r"(?P<args>.*)\)\s+= (?P<result>\S.*)")
_UNFINISHED = " <unfinished ...>"


class WaitingNursery(Nursery):
    """Its lives wait for a tracer."""

    module = "tests.lab.real.waiting"


@dataclass(frozen=True, slots=True)
class Inject:
    """What happens to one call: `what` is KILL or error=EIO and so on; `which` is 3, or 3+ for all from there."""

    name: str
    what: str
    which: str

    def __str__(self) -> str:
        return f"{self.name}:{self.what}:when={self.which}"


@dataclass(slots=True)
class Call:
    """One system call: between the lines `begun` and `ended` of the trace it was under way."""

    pid: int
    name: str
    args: str
    begun: int
    ended: int = -1  # it never returned
    result: str = "?"

    @property
    def was_injected(self) -> bool:
        return self.result.endswith("(INJECTED)")

    @property
    def is_done(self) -> bool:
        """Whether the kernel did it."""
        return self.ended >= 0 and not self.result.startswith(("-1", "?")) and not self.was_injected

    @property
    def path(self) -> str:
        """The file that its first argument is open on; socket:[N] for a socket; "" where that is a name."""
        found = re.match(r"\d+<((?:[^>\\]|\\.)*?)>", self.args)
        return found[1] if found else ""

    @property
    def strings(self) -> list[bytes]:
        """Its quoted arguments."""
        return [ast.literal_eval(f"b{text}") for text in re.findall(r'"(?:[^"\\]|\\.)*"', self.args)]

    def __str__(self) -> str:
        return f"{self.name}({self.args[:100]}) = {self.result}"


@dataclass(frozen=True, slots=True)
class TracedLife:
    """How a life went under strace."""

    code: int  # negative for a signal
    out: str
    err: str
    calls: list[Call]

    @property
    def was_killed(self) -> bool:
        return self.code == -signal.SIGKILL

    def __str__(self) -> str:
        return f"exit {self.code}; last call {self.calls[-1] if self.calls else '-'}\n{self.err}"


def is_here() -> bool:
    """Whether strace can be had."""
    return shutil.which("strace") is not None


def ledger_files(world: World) -> list[Path]:
    """What a life writes of its ledger; its shared memory is worth nothing after a death."""
    endings = ("", "-wal", "-journal", ".mark", ".lock", ".gate", ".recording")
    return [*(world.ledger.with_name(world.ledger.name + ending) for ending in endings), world.ledger.parent]


def live(
    world: World,
    argv: Sequence[str | Path],
    names: Iterable[str],
    injects: Sequence[Inject] = (),
    paths: Iterable[Path] = (),
    wrapper: str = "",
) -> TracedLife:
    """Run one command line as `python -m oms` to its end; `wrapper` is a program that runs it in place of -m oms."""
    place = _place(world)
    program = ["-c", wrapper] if wrapper else ["-m", "oms"]
    with (place / "stdout").open("w") as out, (place / "stderr").open("w") as err:
        done = subprocess.run(
            [*_strace(place, names, injects, paths), sys.executable, *program, *map(str, argv)],
            env=world.env,
            cwd=place,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            timeout=90,
            check=False,
        )
    return _told(place, done.returncode)


def forked(
    world: World,
    nursery: WaitingNursery,
    argv: Sequence[str | Path],
    names: Iterable[str],
    injects: Sequence[Inject] = (),
    paths: Iterable[Path] = (),
) -> TracedLife:
    """Run one command line in a forked child to its end."""
    place = _place(world)
    child = nursery.fork(do="live", argv=list(map(str, argv)), env=world.env, dir=str(place))
    wait_for(lambda: _status(child.pid, "State").startswith("T"))
    tracer = subprocess.Popen(
        [*_strace(place, names, injects, paths), "-p", str(child.pid)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: _status(child.pid, "TracerPid") not in ("", "0") or tracer.poll() is not None)
        assert tracer.poll() is None, "strace may not trace here (see kernel.yama.ptrace_scope)"
        child.kill(signal.SIGCONT)
        code = child.wait(90)
    finally:
        if tracer.poll() is None:
            tracer.terminate()
        tracer.wait(30)
    return _told(place, code)


def _place(world: World) -> Path:
    world.begun += 1
    place = world.directory / f"life{world.begun}"
    place.mkdir()
    return place


def _strace(
    place: Path, names: Iterable[str], injects: Sequence[Inject], paths: Iterable[Path] = ()
) -> list[str | Path]:
    traced = ",".join(sorted({*names, *(inject.name for inject in injects)}))
    command = ["strace", "-f", "-y", "-q", "-e", "signal=none", "-s", "100000", "-o", place / "strace"]
    command += ["-e", f"trace={traced}"]
    for path in paths:
        command += ["-P", path]
    for inject in injects:
        command += ["-e", f"inject={inject}"]
    return command


def _status(pid: int, name: str) -> str:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def _told(place: Path, code: int) -> TracedLife:
    calls = list(calls_of((place / "strace").read_text(errors="surrogateescape").splitlines()))
    return TracedLife(code, (place / "stdout").read_text(), (place / "stderr").read_text(), calls)


def calls_of(lines: Iterable[str]) -> Iterator[Call]:
    """The calls of a trace, in the order in which they began."""
    calls: list[Call] = []
    under_way: dict[int, Call] = {}
    for number, line in enumerate(lines):
        found = _LINE.match(line)
        if found is None:
            continue  # the end of a thread
        pid = int(found["pid"])
        if found["args"] is None:
            call = under_way.pop(pid)
            call.args += found["rest"]
        else:
            call = Call(pid, found["name"], found["args"], number)
            calls.append(call)
        if call.args.endswith(_UNFINISHED):
            call.args = call.args.removesuffix(_UNFINISHED)
            under_way[pid] = call
        elif (ended := _ENDED.fullmatch(call.args)) is not None:
            call.args, call.result = ended["args"], ended["result"]
            call.ended = -1 if call.result == "?" else number
    return iter(calls)
