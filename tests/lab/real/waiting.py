"""A zygote whose lives wait, with everything imported and nothing opened, until a tracer lets them go on.

Nothing of the product is wrapped in them: what the tracer sees is what `python -m oms` does after its imports.
"""

import os
import signal
from pathlib import Path

from tests.crash import zygote


def _live(job: zygote.Job) -> int:
    from oms.cli.entry import run

    directory = Path(job["dir"])
    for number, name in ((0, os.devnull), (1, directory / "stdout"), (2, directory / "stderr")):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), number)
    os.environ.clear()
    os.environ.update(job["env"])
    os.chdir(directory)
    os.kill(os.getpid(), signal.SIGSTOP)
    return run(job["argv"])


if __name__ == "__main__":
    zygote._live = _live
    zygote.main()
