"""A hook as a user would write one: keeps what it is told, one line per delivery; told otherwise by files beside it.

hook.py FILE: `FILE.fail` makes it fail, `FILE.hang` never end, `FILE.kill` kill the process that called it, once each
has been told; `FILE.env` is its environment.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

kept = sys.argv[1]


def wanted(what: str) -> bool:
    return Path(f"{kept}.{what}").exists()


Path(f"{kept}.env").write_text(json.dumps(dict(os.environ)))
with open(kept, "ab") as file:
    file.write(sys.stdin.buffer.read() + b"\n")
    file.flush()
    os.fsync(file.fileno())
print("this goes nowhere")
if wanted("kill"):
    Path(f"{kept}.kill").unlink()
    os.kill(os.getppid(), signal.SIGKILL)
if wanted("hang"):
    Path(f"{kept}.pid").write_text(str(os.getpid()))
    time.sleep(600)
if wanted("fail"):
    sys.exit("no room for it")
