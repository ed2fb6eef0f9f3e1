"""The wish to stop, passed from a signal handler to whatever is running. PURE but for its flag.

`request` may be called from a signal handler: it only sets a number and wakes the waiter.
"""

from collections.abc import Callable


class Interrupt:
    """Set once by SIGINT or SIGTERM (or any caller); the run then claims nothing more and ends in good order."""

    def __init__(self) -> None:
        self.signum: int | None = None
        self._wake: Callable[[], None] | None = None

    @property
    def is_requested(self) -> bool:
        return self.signum is not None

    @property
    def exit_code(self) -> int:
        """128 + the signal, as shells say it."""
        return 128 + (self.signum or 0)

    def request(self, signum: int) -> None:
        """Ask the run to stop."""
        self.signum = signum
        if self._wake is not None:
            self._wake()

    def on_request(self, wake: Callable[[], None] | None) -> None:
        """What wakes the waiter; None when nobody waits any more."""
        self._wake = wake
