"""What the stand-in providers hold and remember: the resources that live, and every operation with its order."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

PROPAGATION_SECONDS = 0.004
"""How long an operation takes at least, so that operations that may run at once do overlap in the record."""


class Refused(Exception):
    """What a cloud's API answers with an error: the message, without any value that may be secret."""


@dataclass
class Operation:
    """One call that changes or reads the cloud. `started` and `ended` count the cloud's own ticks, not seconds."""

    kind: str
    package: str
    urn: str
    started: int
    ended: int | None = None
    error: str = ""

    @property
    def type(self) -> str:
        """The resource's type: `aws:ec2/vpc:Vpc`."""
        return self.urn.split("::")[2].rpartition("$")[2]


@dataclass(frozen=True)
class Live:
    """A resource as the cloud has it. `scope` is the account and region, or the cluster, that it lives in.

    Its values are kept out of `repr`: some are secret, and a failing test prints it.
    """

    urn: str
    token: str
    scope: str
    id: str
    inputs: dict[str, Any] = field(repr=False)
    outputs: dict[str, Any] = field(repr=False)
    physical_name: str = ""


@dataclass
class Cloud:
    """All packages' resources, for one test. Safe to call from many threads, as the engine's operations come."""

    live: dict[tuple[str, str, str], Live] = field(default_factory=dict, repr=False)
    """By type, scope and id."""
    reserved: set[tuple[str, str, str]] = field(default_factory=set)
    """Names that stay taken after a delete: type, scope, name."""
    operations: list[Operation] = field(default_factory=list)
    invoked: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ticks: int = 0
    _creates_left: int | None = None
    _held: threading.Event = field(default_factory=threading.Event)
    _released: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def operation(self, kind: str, package: str, urn: str) -> Iterator[Operation]:
        """Records an operation from start to end, also one that fails."""
        with self._lock:
            self._ticks += 1
            record = Operation(kind, package, urn, self._ticks)
            self.operations.append(record)
        try:
            time.sleep(PROPAGATION_SECONDS)
            yield record
        except Exception as error:
            record.error = f"{type(error).__name__}: {error}"
            raise
        finally:
            with self._lock:
                self._ticks += 1
                record.ended = self._ticks

    def add(self, resource: Live) -> None:
        """A resource comes to be. Refused where its physical name is taken in its scope, as the cloud would."""
        with self._lock:
            if (resource.token, resource.scope, resource.physical_name) in self.reserved:
                raise Refused(f"{resource.token} {resource.physical_name!r} is already scheduled for deletion")
            if resource.physical_name:
                for other in self.live.values():
                    if (other.token, other.scope, other.physical_name) == (
                        resource.token,
                        resource.scope,
                        resource.physical_name,
                    ):
                        raise Refused(f"{resource.token} {resource.physical_name!r} already exists in {resource.scope}")
            self.live[resource.token, resource.scope, resource.id] = resource

    def find(self, token: str, scope: str, identifier: str) -> Live | None:
        """What lives under an id, if anything."""
        with self._lock:
            return self.live.get((token, scope, identifier))

    def update(self, token: str, scope: str, identifier: str, inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
        """An update in place. Refused where there is no such resource."""
        with self._lock:
            key = (token, scope, identifier)
            if key not in self.live:
                raise Refused(f"{token} {identifier!r} does not exist in {scope}")
            self.live[key] = replace(self.live[key], inputs=inputs, outputs=outputs)

    def remove(self, token: str, scope: str, identifier: str, *, name_stays: bool = False) -> None:
        """A delete; of what is gone already it is none the less
        done. `name_stays`: nothing else may have its name yet.
        """
        with self._lock:
            gone = self.live.pop((token, scope, identifier), None)
            if gone is not None and name_stays:
                self.reserved.add((token, scope, gone.physical_name))

    def hold_after(self, creates: int) -> None:
        """From now on lets so many creates through and holds the later ones half-way, until `release`."""
        with self._lock:
            self._creates_left = creates
            self._held.clear()
            self._released.clear()

    def pass_or_hold(self) -> None:
        """Called within each create."""
        with self._lock:
            if self._creates_left is None:
                return
            self._creates_left -= 1
            wait = self._creates_left < 0
        if wait:
            self._held.set()
            self._released.wait()

    def wait_until_held(self, timeout: float) -> bool:
        """Whether a create was held within `timeout` seconds."""
        return self._held.wait(timeout)

    def release(self) -> None:
        """Lets the held creates finish, and all later ones through."""
        with self._lock:
            self._creates_left = None
        self._released.set()

    def mark(self) -> int:
        """A place in the record; `since` gives what came after it."""
        with self._lock:
            return len(self.operations)

    def since(self, mark: int = 0) -> list[Operation]:
        """The operations after a mark, in order of their start."""
        with self._lock:
            return self.operations[mark:]

    def resources(self) -> list[Live]:
        """All that lives."""
        with self._lock:
            return list(self.live.values())

    def settled(self) -> bool:
        """Whether every operation has ended."""
        with self._lock:
            return all(operation.ended is not None for operation in self.operations)
