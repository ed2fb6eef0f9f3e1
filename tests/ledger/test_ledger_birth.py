"""Which file a file is: a copy in the place of a deleted file often gets its inode, and never its birth."""

import os
from pathlib import Path

import pytest

from oms.ledger import birth


def test_a_file_stays_the_same_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"1")
    before = birth.identity(path)
    path.write_bytes(b"2" * 10_000)
    os.utime(path, (1, 1))
    path.rename(tmp_path / "b")
    assert birth.identity(tmp_path / "b") == before != ""
    assert birth.identity(path) == ""


def test_a_copy_in_the_place_of_a_deleted_file_is_another_one_even_with_its_inode(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"1")
    if birth.identity(path).endswith(".0"):
        pytest.skip("this file system does not keep the birth of a file: a copy with the same inode goes unnoticed")
    seen = set()
    for _ in range(20):
        seen.add(birth.identity(path))
        path.unlink()
        path.write_bytes(b"1")
    assert len(seen) == 20


def test_where_the_birth_cannot_be_told_the_inode_has_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(birth, "_statx", lambda: None)
    path = tmp_path / "a"
    path.write_bytes(b"1")
    assert birth.identity(path) == f"{path.stat().st_ino}.0"
