#!/usr/bin/env python3
"""One command from a fresh clone to a proof, another to the tests.

    python3 quickstart.py [-v] [demo] [ARG...]     make .venv, install oms, run its demo (ARGs go to the demo)
    python3 quickstart.py [-v] test [ARG...]       install what the tests need, run pytest (ARGs go to pytest)

Needs Python 3.11 or newer with pip (or ensurepip), and nothing else: Debian's python3-venv is not needed.
-v prints every command it runs. OMS_VENV=DIR puts the virtual environment elsewhere than .venv. The second run takes
no time; a change of Python or of pyproject.toml installs again by itself; what was left half made is made anew.
Exit code: that of the demo or of pytest; 1 if the installation failed, 2 if it cannot even begin.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - an older Python must get this far, and a sentence instead of a traceback
    sys.stderr.write(f"error: oms needs Python 3.11 or newer, this is {sys.version_info[0]}.{sys.version_info[1]}\n")
    sys.exit(2)

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent
STAMP = ".oms-installed"
UNFINISHED = "unfinished\n"
FIRST_PIP_WITH_PYTHON_OPTION = (22, 3)
# Tests wait for disk, exchange and horizon more than they compute: four keep two cores busy.
AT_A_TIME = ["-n", "4", "--dist", "worksteal"]

NO_PIP = (
    "this Python has neither pip (22.3 or newer) nor ensurepip, so nothing can be installed with it\n"
    "hint: on Debian and Ubuntu: apt install python3-pip"
)


class SetupFailed(Exception):
    """The environment could not be made; str() is the message, `exit_code` what to end with.

    `said` is what the program that failed had printed, in its own words.
    """

    def __init__(self, message: str, exit_code: int = 1, said: str = "") -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.said = said


@dataclass(frozen=True)
class Request:
    """What the command line asks for."""

    verb: str  # demo | test
    rest: tuple[str, ...] = ()
    is_verbose: bool = False

    @property
    def extras(self) -> str:
        return "test" if self.verb == "test" else ""


@dataclass(frozen=True)
class Stamp:
    """What an installation was made from. Written last, so a stamp that can be read means a finished one."""

    python: str  # major.minor.patch of the interpreter
    root: str  # the checkout the editable install points to
    pyproject: str  # SHA-256
    extras: str

    def text(self) -> str:
        return f"python {self.python}\nroot {self.root}\npyproject {self.pyproject}\nextras {self.extras}\n"

    def is_met_by(self, text: str) -> bool:
        """Whether an installation with this stamp text serves: the same, or the same plus the test tools."""
        return text in (self.text(), Stamp(self.python, self.root, self.pyproject, "test").text())


def parse(arguments: Sequence[str]) -> Request:
    """Read the command line. Words before the verb are ours, all after it belongs to the demo or to pytest.

    Raises SetupFailed (exit 2) for a word that is no verb, before minutes are spent on installing.
    """
    rest = list(arguments)
    is_verbose = False
    while rest and rest[0] in ("-v", "--verbose"):
        is_verbose = True
        rest.pop(0)
    verb = "demo"
    if rest and not rest[0].startswith("-"):
        verb = rest.pop(0)
    if verb not in ("demo", "test"):
        raise SetupFailed(f"unknown word {verb!r}; it is `quickstart.py [demo]` or `quickstart.py test`", 2)
    return Request(verb, tuple(rest), is_verbose)


def wanted_stamp(pyproject: bytes, extras: str, *, root: Path = ROOT) -> Stamp:
    """The stamp that an installation for this interpreter and this checkout carries."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Stamp(version, str(root), hashlib.sha256(pyproject).hexdigest(), extras)


def venv_location(environ: Mapping[str, str]) -> Path:
    """Where the virtual environment lives: OMS_VENV, else .venv beside this file."""
    chosen = environ.get("OMS_VENV", "")
    return Path(chosen).expanduser().absolute() if chosen else ROOT / ".venv"


def venv_python(venv: Path) -> Path:
    return venv / "bin" / "python"


def pip_version() -> tuple[int, ...]:
    """Version of this interpreter's pip, () if it has none."""
    try:
        text = importlib.metadata.version("pip")
    except importlib.metadata.PackageNotFoundError:
        return ()
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())


def has_ensurepip() -> bool:
    """Debian cuts ensurepip out of its Python unless python3-venv is installed."""
    return importlib.util.find_spec("ensurepip") is not None


def commands(
    venv: Path, extras: str, *, python: str, pip: tuple[int, ...], ensurepip: bool
) -> tuple[list[str], list[str]]:
    """The command that makes the virtual environment and the one that installs into it.

    With a pip of our own the environment needs none, so Debian's missing ensurepip does not matter.
    Raises SetupFailed when there is no way to install anything.
    """
    make = [python, "-m", "venv"]
    into = str(venv_python(venv))
    if pip >= FIRST_PIP_WITH_PYTHON_OPTION:
        make.append("--without-pip")
        install = [python, "-m", "pip", "--python", into, "install"]
    elif ensurepip:
        install = [into, "-m", "pip", "install"]
    else:
        raise SetupFailed(NO_PIP)
    install += ["--quiet", "--no-input", "--disable-pip-version-check", "-e", f".[{extras}]" if extras else "."]
    return [*make, str(venv)], install


def pip_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for pip, without the settings that would send packages elsewhere than into the venv."""
    kept = {
        name: value
        for name, value in environ.items()
        if name not in ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_REQUIRE_VIRTUALENV")
    }
    return kept | {"PIP_USER": "0"}


def run(command: Sequence[str], is_verbose: bool, environ: Mapping[str, str]) -> None:
    """Run one step quietly. Raises SetupFailed with everything the command said if it fails."""
    if is_verbose:
        print("+", shlex.join(command), file=sys.stderr, flush=True)
    done = subprocess.run(
        command, cwd=ROOT, env=dict(environ), stdin=subprocess.DEVNULL, text=True, errors="replace",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    if is_verbose and done.stdout:
        print(done.stdout, end="", file=sys.stderr, flush=True)
    if done.returncode != 0:
        raise SetupFailed(
            f"the installation did not finish (exit {done.returncode} of `{shlex.join(command)}`)\n"
            "hint: it needs a package index; when that is in reach, run the same command again",
            said="" if is_verbose else done.stdout,
        )


def read_stamp(venv: Path) -> str:
    try:
        return (venv / STAMP).read_text(encoding="utf-8")
    except OSError:
        return ""


def is_usable(venv: Path) -> bool:
    """Whether the environment's interpreter starts and is the version of this one."""
    probe = [str(venv_python(venv)), "-c", "import sys; print(sys.prefix, *sys.version_info[:3], sep='\\n')"]
    try:
        done = subprocess.run(probe, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    said = done.stdout.splitlines()
    return done.returncode == 0 and said[1:] == [str(part) for part in sys.version_info[:3]]


def clear(venv: Path) -> None:
    """Remove an environment that cannot be built upon, but never a directory that may be somebody else's.

    Ours are the ones that carry our stamp, and .venv in the checkout. Raises SetupFailed (exit 2) for any other.
    """
    if not venv.exists() and not venv.is_symlink():
        return
    is_ours = read_stamp(venv) != "" or venv == ROOT / ".venv"
    if not is_ours and not (venv.is_dir() and not any(venv.iterdir())):
        raise SetupFailed(f"OMS_VENV={venv} exists and was not made by quickstart.py; name another", 2)
    if Path(sys.prefix).resolve() == venv.resolve():
        raise SetupFailed(f"{venv} must be made anew; run this with the Python outside of it", 2)
    if venv.is_dir() and not venv.is_symlink():
        shutil.rmtree(venv)
    else:
        venv.unlink()


def install(venv: Path, request: Request, stamp: Stamp, environ: Mapping[str, str]) -> None:
    """Make or mend the environment. On return it is complete and carries `stamp`."""
    make, pip_install = commands(
        venv, request.extras, python=sys.executable, pip=pip_version(), ensurepip=has_ensurepip()
    )
    # Built upon is only what was once finished, or a person's own; a half-made one of ours is made anew.
    if read_stamp(venv) == UNFINISHED or not is_usable(venv):
        clear(venv)
    venv.mkdir(parents=True, exist_ok=True)
    (venv / STAMP).write_text(UNFINISHED, encoding="utf-8")
    if not venv_python(venv).exists():
        run(make, request.is_verbose, environ)
    elif "--without-pip" not in make:
        run([str(venv_python(venv)), "-m", "ensurepip"], request.is_verbose, environ)
    run(pip_install, request.is_verbose, environ)
    (venv / STAMP).write_text(stamp.text(), encoding="utf-8")


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Two quickstarts in one checkout take turns. The lock is on this file, so none is left behind."""
    with Path(__file__).open("rb") as script:
        fcntl.flock(script, fcntl.LOCK_EX)
        yield


def prepare(venv: Path, request: Request, environ: Mapping[str, str]) -> None:
    """See to it that the environment is complete; silent and fast when it already is."""
    stamp = wanted_stamp((ROOT / "pyproject.toml").read_bytes(), request.extras)
    with one_at_a_time():
        if venv_python(venv).exists() and stamp.is_met_by(read_stamp(venv)):
            return
        where = venv.relative_to(ROOT) if venv.is_relative_to(ROOT) else venv
        what = "test tools" if request.verb == "test" else f"{where} (first run only)"
        print(f"setup: {what} ".ljust(42, "."), end="\n" if request.is_verbose else " ", file=sys.stderr, flush=True)
        started = time.monotonic()
        try:
            install(venv, request, stamp, pip_environment(environ))
        except BaseException:
            print("failed", file=sys.stderr, flush=True)
            raise
        print(f"done in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


def program(venv: Path, request: Request) -> list[str]:
    """The command that takes the place of this process once the environment is complete."""
    module = ["pytest", *at_a_time(request.rest)] if request.verb == "test" else ["oms", "demo"]
    return [str(venv_python(venv)), "-m", *module, *request.rest]


def at_a_time(rest: Sequence[str]) -> list[str]:
    """Several tests at once, unless the caller says how many or wants to see into one."""
    own = ("-n", "--numprocesses", "--pdb", "-s", "--collect-only", "--co")
    return [] if any(word.startswith(own) for word in rest) else AT_A_TIME


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Prepare, then become the demo or pytest, so that signals and the exit code are theirs."""
    if list(arguments[:1]) in (["-h"], ["--help"]):
        print(__doc__, end="")
        return 0
    try:
        request = parse(arguments)
        venv = venv_location(environ)
        prepare(venv, request, environ)
        command = program(venv, request)
        if request.is_verbose:
            print("+", shlex.join(command), file=sys.stderr, flush=True)
        # From elsewhere pytest would collect whatever lies there.
        os.chdir(ROOT)
        os.execve(command[0], command, dict(environ))
    except SetupFailed as failure:
        print(f"{failure.said.rstrip()}\nerror: {failure}".lstrip("\n"), file=sys.stderr)
        return failure.exit_code
    except OSError as failure:
        print(f"error: {failure}\nhint: OMS_VENV=DIR puts the virtual environment elsewhere", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; run the same command again", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
