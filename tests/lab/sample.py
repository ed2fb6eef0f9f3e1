"""What is done as a sample unless all of it is asked for: `OMS_TEST_ALL=1`, and what a sample says of itself."""

import os

ASKED = "OMS_TEST_ALL"


def stride(usual: int) -> int:
    """Every how many-th position to take."""
    return 1 if os.environ.get(ASKED) else usual


def amount(usual: int, whole: int) -> int:
    """How many examples to try."""
    return whole if os.environ.get(ASKED) else usual


def told(usual: int) -> str:
    """The words of a sample, to be printed with what it counted."""
    return "" if stride(usual) == 1 else f" (A SAMPLE, one of {usual}; {ASKED}=1 takes all)"
