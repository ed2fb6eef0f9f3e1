"""Determinism: every choice of the sandbox is a digest of its seed and a label, never a random number."""

import hashlib
import uuid
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Seed:
    """Draws from one seed. The same seed and label always give the same draw, in any order of drawing."""

    def __init__(self, text: str) -> None:
        self.text = text

    def digest(self, *label: object) -> bytes:
        """32 bytes for this label."""
        joined = "\x1f".join([self.text, *(str(part) for part in label)])
        return hashlib.sha256(joined.encode()).digest()

    def below(self, limit: int, *label: object) -> int:
        """A number from 0 up to, not including, `limit`."""
        return int.from_bytes(self.digest(*label)[:8]) % limit

    def pick(self, choices: Sequence[T], *label: object) -> T:
        """One of the choices."""
        return choices[self.below(len(choices), *label)]

    def uuid(self, *label: object) -> str:
        """A version 4 UUID as text."""
        return str(uuid.UUID(bytes=self.digest(*label)[:16], version=4))
