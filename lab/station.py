"""One lab a machine: where a running one is found, and how it is spoken to.

Its addresses are fixed, so a second lab could not start. A running one holds a lock on a
file in the machine's temporary directory, which says who it is; commands reach it by a Unix
socket, one JSON object a line, answered by lines of progress and at last by one with `done`.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import tempfile
import threading
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

Say = Callable[[str], None]
Order = Callable[[Mapping[str, Any], Say], Any]
"""Carries an order out, saying how it goes on the way; what it returns is the answer."""


class StationError(Exception):
    """There is a lab already, or none; or an order was refused. The message is for the operator."""


@dataclass(frozen=True)
class Running:
    """A running lab."""

    pid: int
    stack: str
    directory: str
    url: str

    @property
    def control(self) -> Path:
        """Its socket."""
        return Path(self.directory) / "station.sock"


def record() -> Path:
    """The file by which a lab is found, one for each user of the machine."""
    return Path(tempfile.gettempdir()) / f"hal9-lab-{os.getuid()}.json"


class Claim:
    """The right to be this machine's lab, held until `release`
    or the process's end. StationError where another has it.
    """

    def __init__(self) -> None:
        self._file: IO[str] = record().open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            found = running()
            raise StationError(
                f"a lab runs already: stack {found.stack}, process {found.pid}, {found.url}; `make lab-down` ends it"
                if found
                else "a lab is starting already; `make lab-status` tells when it is up"
            ) from None

    def announce(self, lab: Running) -> None:
        """Say who this lab is."""
        self._file.seek(0)
        self._file.truncate()
        json.dump(lab.__dict__, self._file)
        self._file.flush()

    def release(self) -> None:
        """Leave nothing behind."""
        record().unlink(missing_ok=True)
        self._file.close()


def running() -> Running | None:
    """The lab that runs on this machine, or None. A record without a process behind it is none."""
    try:
        with record().open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                text = file.read()
                return Running(**json.loads(text)) if text else None
    except FileNotFoundError:
        return None
    return None


def serve(control: Path, carry_out: Order) -> None:
    """Take orders in a thread of their own, one at a time, until the process ends."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(control))
    listener.listen()

    def answer() -> None:
        while True:
            connection, _ = listener.accept()
            with connection, connection.makefile("rw") as lines:

                def say(text: str, lines: IO[str] = lines) -> None:
                    lines.write(json.dumps({"say": text}) + "\n")
                    lines.flush()

                for line in lines:
                    try:
                        result = {"done": carry_out(json.loads(line), say)}
                    except Exception as error:  # noqa: BLE001 - whatever an order dies of is told to who gave it, and the lab goes on
                        result = {"failed": f"{type(error).__name__}: {error}"}
                    try:
                        lines.write(json.dumps(result) + "\n")
                        lines.flush()
                    except BrokenPipeError:
                        break

    threading.Thread(target=answer, daemon=True, name="orders").start()


def order(lab: Running, **what: Any) -> Generator[str, None, Any]:
    """Give an order; yields its progress, returns its answer (`yield from`). StationError where it failed."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(lab.control))
        except OSError as error:
            raise StationError(f"the lab (process {lab.pid}) does not answer: {error.strerror}") from None
        with connection.makefile("rw") as lines:
            lines.write(json.dumps(what) + "\n")
            lines.flush()
            for line in lines:
                message = json.loads(line)
                if "say" in message:
                    yield message["say"]
                elif "failed" in message:
                    raise StationError(message["failed"])
                else:
                    return message["done"]
    raise StationError(f"the lab (process {lab.pid}) ended before it answered")


def ask(lab: Running, **what: Any) -> Any:
    """Give an order and wait for its answer."""
    progress = order(lab, **what)
    while True:
        try:
            next(progress)
        except StopIteration as stop:
            return stop.value
