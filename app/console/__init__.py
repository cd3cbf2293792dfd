"""What every command owes the terminal that it was typed in.

    from app import console

    if __name__ == "__main__":
        console.prepare()  # before the other imports, which take a while and may be interrupted too
    ...
    if __name__ == "__main__":
        console.run(main)

Ctrl-C at any moment is one line and status 130; a reader that has seen enough (`head`) is no failure; a standard output
that cannot be written is one line and status 1; a terminal that has no lines to draw a tree with gets plain ones.
This module imports nothing that takes time.
"""

import codecs
import io
import os
import shutil
import signal
import sys
import warnings
from collections.abc import Callable
from typing import Any, NoReturn, TextIO

INTERRUPTED = 130
"""The status that a shell gives for Ctrl-C."""
PLAIN = str.maketrans({"│": "|", "├": "|", "└": "`", "─": "-", "–": "-", "—": "-", "…": ".", "×": "x", "µ": "u"})  # noqa: RUF001 - what it replaces
"""What stands for what a terminal's encoding does not have; anything else is a question mark."""


def prepare() -> None:
    """Make Ctrl-C end the process at once, as there is nothing
    to clean up yet, and standard output safe to write to.
    """
    signal.signal(signal.SIGINT, _leave)
    while (lowest := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass  # one of the three was closed: what is opened next must not be taken for it
    os.close(lowest)
    codecs.register_error("plain", _plain)
    sys.stdout, sys.stderr = _Stream.onto(1, sys.stdout), _Stream.onto(2, sys.stderr)


def columns(most: int, least: int = 40) -> int:
    """How wide a report may be: as the terminal is (COLUMNS says so too), between `least` and `most`."""
    return max(least, min(most, shutil.get_terminal_size((most, 0)).columns))


def run(main: Callable[[], int]) -> NoReturn:
    """End the process with main's exit status."""
    ignored: list[str] = []
    sys.unraisablehook = lambda what: ignored.append(_ignored(what))
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        status = _outcome(main)
    except KeyboardInterrupt:  # what was half begun by then may say so when it goes; nobody needs to read that
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _say_interrupted()
        sys.exit(INTERRUPTED)
    signal.signal(signal.SIGINT, _leave)  # the interpreter's own end may be interrupted too
    sys.unraisablehook = sys.__unraisablehook__
    for text in ignored:
        print(text, file=sys.stderr)
    sys.exit(status)


def _outcome(main: Callable[[], int]) -> int:
    try:
        status = main()
        sys.stdout.flush()
    except OSError as error:
        if error.filename is None:
            raise
        # A folder that cannot be written, a file that is none: the machine's, not the program's.
        print(f"{_name(error.filename)}: {error.strerror}", file=sys.stderr)
        return 1
    return status


class _Stream(io.TextIOWrapper):
    """Standard output or error. An output that cannot be written ends the program, as SIGPIPE would, but in order."""

    @classmethod
    def onto(cls, descriptor: int, was: TextIO | None) -> TextIO:
        """In place of the stream that was, or was closed."""
        return cls(
            io.BufferedWriter(io.FileIO(descriptor, "w", closefd=False)),
            encoding=getattr(was, "encoding", None) or "utf-8",
            errors="plain",
            line_buffering=descriptor == 2 or bool(getattr(was, "line_buffering", False)),
            write_through=bool(getattr(was, "write_through", False)),
        )

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            return self._failed(error)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._failed(error)

    def _failed(self, error: OSError) -> int:
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())  # for what is still to come
        if self.fileno() == 2:
            return 0
        if isinstance(error, BrokenPipeError):  # the reader has seen enough
            raise SystemExit(0) from None
        print(f"standard output: {error.strerror}", file=sys.stderr)
        raise SystemExit(1) from None


def _ignored(what: "sys.UnraisableHookArgs") -> str:
    """What Python says of an error that nothing can catch."""
    import traceback

    head = f"{what.err_msg or 'Exception ignored in'}: {what.object!r}\n"
    return head + "".join(traceback.format_exception(what.exc_type, what.exc_value, what.exc_traceback)).rstrip()


def _say_interrupted() -> None:
    """The one line of Ctrl-C, where a progress line may stand; below make it is make's own."""
    clear = "\r\033[K" if sys.stderr.isatty() else ""
    sys.stderr.write(clear if "MAKELEVEL" in os.environ else f"{clear}interrupted\n")
    sys.stderr.flush()


def _leave(*_: Any) -> None:
    _say_interrupted()
    os._exit(INTERRUPTED)


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(PLAIN)
    return text.encode("ascii", "replace").decode(), error.end


def _name(path: Any) -> str:
    return os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else str(path)
