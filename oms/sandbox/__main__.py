"""`python -m oms.sandbox --dir DIR`: the sandbox exchange in the foreground."""

import sys

from oms.sandbox.options import read_arguments
from oms.sandbox.server import serve

if __name__ == "__main__":
    options = read_arguments(sys.argv[1:])
    try:
        sys.exit(serve(options))
    except ValueError as exc:
        sys.exit(f"sandbox: {exc}")
