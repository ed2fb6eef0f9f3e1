"""The command line inside this process, with a stand-in for `oms.app.Oms` that answers from lists."""

import io
import signal
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
from cli_fake import Cli, FakeOms, Result

from oms.cli.entry import run


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    signal.set_wakeup_fd(-1)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeOms]:
    """The stand-in, fresh: what it answers is set on the class."""

    class Fresh(FakeOms):
        pass

    Fresh.calls = []
    module = ModuleType("oms.app")
    module.Oms = Fresh  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "oms.app", module)
    return Fresh


@pytest.fixture
def cli() -> Cli:
    """Call the command line with these words; streams are pipes."""

    def call(*words: str, stdin: bytes = b"", stdout: io.RawIOBase | None = None) -> Result:
        raw_out, raw_err = io.BytesIO(), io.BytesIO()
        out = io.TextIOWrapper(io.BufferedWriter(stdout) if stdout else raw_out, encoding="utf-8")
        err = io.TextIOWrapper(raw_err, encoding="utf-8")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            code = run(list(words))
        if stdout is not None:
            with pytest.raises(OSError, match=r".*"):
                out.close()
        return Result(code, raw_out.getvalue().decode(), raw_err.getvalue().decode())

    return call
