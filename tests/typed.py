"""Runs commands as if each had been typed, one after another, in a process that has made the imports and the plan once.

    python -m tests.typed MODULE...     then on standard input, a line for each:
    {"module": "cost", "arguments": ["--stack", "dev"], "columns": 40, "stdout": "file|closed|full|gone"}

Each runs in a fork of its own, as `__main__`, and is answered with a line of JSON: its `status`, `out` and `error`. Of
what a command does only the plan is not made anew: it takes most of a second, and is the same for all.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import sys
import tempfile
import traceback
from functools import cache
from typing import Any, NoReturn

import plan


def shared(modules: list[str]) -> None:
    """Import the commands, and give all of them one plan of each stack."""
    made = cache(plan.run)
    plan.run = lambda stack, **_: made(stack)  # before those that import it by name
    made("dev")
    for module in modules:
        named = module if "." in module else f"{module}.__main__"
        importlib.import_module(named)
        del sys.modules[named]  # it runs as `__main__`; what it imported stays


def replace_stdout(how: str, file: int) -> None:
    """Put in the place of standard output a file, nothing, a device that is full, or a pipe whose reader has gone."""
    if how == "closed":
        os.close(1)
        return
    if how == "gone":
        reader, file = os.pipe()
        os.close(reader)
    elif how == "full":
        file = os.open("/dev/full", os.O_WRONLY)
    os.dup2(file, 1)


def become(asked: dict[str, Any], out: int, error: int) -> NoReturn:
    """Be the command, to its end."""
    status = 70
    try:
        replace_stdout(asked["stdout"], out)
        os.dup2(error, 2)
        os.environ["COLUMNS"] = str(asked["columns"])
        sys.argv = [asked["module"], *asked["arguments"]]
        runpy.run_module(asked["module"], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(bool(end.code))
    except BaseException:  # as the interpreter would, which is what no command should come to
        traceback.print_exc()
        status = 1
    finally:
        os._exit(status)


def typed(asked: dict[str, Any]) -> dict[str, Any]:
    """Run one command; what came of it."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as error:
        child = os.fork()
        if child == 0:
            become(asked, out.fileno(), error.fileno())
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said = []
        for file in (out, error):
            file.seek(0)
            said.append(file.read().decode("latin-1"))
    return {"status": status, "out": said[0], "error": said[1]}


if __name__ == "__main__":
    shared(sys.argv[1:])
    for line in sys.stdin:
        print(json.dumps(typed(json.loads(line))), flush=True)
