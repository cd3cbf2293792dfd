"""Writes files so that nobody ever sees half of one."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
from pathlib import Path

STANDARD_OUTPUT = frozenset(map(Path, ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")))


def is_standard_output(path: Path) -> bool:
    """Whether a path that somebody gave stands for standard output."""
    return path in STANDARD_OUTPUT


def write(path: Path, text: str) -> None:
    """Replaces a file's content in one step, making its folders; what a link leads to, not the link. A device or a pipe
    is written, and so is standard output. OSError where that cannot be.
    """
    if is_standard_output(path):
        sys.stdout.write(text)
        return
    if path.is_symlink():
        path = path.resolve()
    if path.exists() and not path.is_file():
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        with path.open("w", encoding="utf-8") as stream:
            stream.write(text)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise
