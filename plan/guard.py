"""Watches how a program uses Outputs: as if they were the
value, which must fail at once, and where its own code fails.
"""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pulumi

from plan.masking import Masker

_STRICT = "PULUMI_ERROR_OUTPUT_STRING"


@contextmanager
def strict_outputs(project: Path) -> Iterator[None]:
    """While open, `str()` of an Output raises; so do `bool()` and `==` where a file of the project uses them.

    The SDK itself tests Outputs for being there, so the last two look at who asks. All three are silent mistakes
    otherwise: an Output is always true, never equal to a value, and its text is a warning.
    """
    directory = f"{project}{os.sep}"

    def asked_by_program() -> bool:
        name = sys._getframe(2).f_code.co_filename
        return name.startswith(directory) and f"{os.sep}.venv" not in name

    def as_condition(_self: pulumi.Output[Any]) -> bool:
        if asked_by_program():
            raise TypeError("an Output was used as a condition: its value is not known yet; decide inside apply")
        return True

    def equal(self: pulumi.Output[Any], other: object) -> bool:
        if self is not other and asked_by_program():
            raise TypeError("an Output was compared: its value is not known yet; compare inside apply")
        return self is other

    before = os.environ.get(_STRICT)
    os.environ[_STRICT] = "true"
    pulumi.Output.__bool__ = as_condition  # type: ignore[attr-defined]
    pulumi.Output.__eq__ = equal  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        del pulumi.Output.__bool__  # type: ignore[attr-defined]
        del pulumi.Output.__eq__
        if before is None:
            del os.environ[_STRICT]
        else:
            os.environ[_STRICT] = before


class Failures:
    """Where the program's functions inside `apply` failed.

    asyncio drops an exception's traceback when it is waited for a second time, and Pulumi does, so it is kept here. A
    secret value that was at hand goes to the masker: the exception may tell it in another form.
    """

    def __init__(self, masker: Masker) -> None:
        self._tracebacks: dict[int, tuple[BaseException, types.TracebackType | None]] = {}
        self._masker = masker

    def traceback_of(self, error: BaseException) -> types.TracebackType | None:
        """The longest traceback known of an exception."""
        return self._tracebacks.get(id(error), (error, error.__traceback__))[1]

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While open, every `apply` is watched."""
        original: Any = pulumi.Output.apply

        def apply(output: Any, func: Callable[[Any], Any], run_with_unknowns: bool = False) -> Any:
            def watched(value: Any) -> Any:
                try:
                    return func(value)
                except Exception as error:
                    if sys._getframe(1).f_locals.get("is_secret"):
                        self._masker.add(value)
                    self._tracebacks.setdefault(id(error), (error, error.__traceback__))
                    raise

            return original(output, watched, run_with_unknowns)

        pulumi.Output.apply = apply  # type: ignore[method-assign,assignment]
        try:
            yield
        finally:
            pulumi.Output.apply = original  # type: ignore[method-assign]
