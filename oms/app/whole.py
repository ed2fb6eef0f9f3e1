"""A file that is written whole or not at all: beside its place first, under its name when it is complete."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from oms.errors import InputError, OmsError


@contextmanager
def whole_file(path: Path, *, force: bool, ledger: Path) -> Iterator[BinaryIO]:
    """A new file, readable by its owner only; under `path`, and on the disk, when the block has ended well.

    Raises InputError when something is there already (with `force`: something other than a file), or when `path` is
    one of the files of the `ledger`; OmsError when it cannot be written. After any exception nothing was changed.
    """
    path = path.absolute()
    _check(path, force=force, ledger=ledger)
    draft: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name[:100]}.", delete=False) as sink:
            draft = Path(sink.name)
            yield sink  # type: ignore[misc]
            sink.flush()
            os.fsync(sink.fileno())
        _put(draft, path, force=force)
    except OSError as exc:
        raise OmsError(f"{path} could not be written: {exc.strerror or exc}", hint="nothing was changed") from exc
    finally:
        if draft is not None:
            with suppress(OSError):
                draft.unlink(missing_ok=True)


def _check(path: Path, *, force: bool, ledger: Path) -> None:
    if path.parent.resolve() == ledger.parent.resolve() and path.name.startswith(ledger.name):
        raise InputError(f"{path} belongs to the ledger", hint="name another file")
    if path.is_dir() or (path.exists() and not path.is_file()):
        raise InputError(f"{path} is not a file", hint="name a file")
    if os.path.lexists(path) and not force:
        raise _exists(path)


def _exists(path: Path) -> InputError:
    return InputError(f"{path} exists already; nothing was written", hint="name another file, or add --force")


def _put(draft: Path, path: Path, *, force: bool) -> None:
    if force:
        os.replace(draft, path)
        return
    try:
        os.link(draft, path)  # unlike a rename it never takes the place of what somebody else has put there meanwhile
    except FileExistsError:
        raise _exists(path) from None
    except OSError:  # a file system without links
        _check(path, force=False, ledger=draft)
        os.replace(draft, path)
