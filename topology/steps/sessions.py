"""Session keys: decrypt, then active, then decrypt again, then retired, with a session's lifetime between."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from topology.settings import SessionKey
from topology.steps.edit import Edit, Refusal

WAY = "docs/runbooks/session-key-rotation.md"
_NEXT = {
    "decrypt": {"decrypt", "active", "retired"},
    "active": {"active", "decrypt"},
    "retired": {"retired"},
}


def keyring(edit: Edit) -> Iterator[Refusal]:
    """No pod meets a session that it cannot read, whichever of two keyrings it has."""
    before = {key.id: key for key in edit.before.sessions.keyring}
    after = {key.id: (number, key) for number, key in enumerate(edit.after.sessions.keyring)}
    for number, key in enumerate(edit.before.sessions.keyring):
        if key.id not in after and key.state != "retired":
            yield Refusal(
                f"sessions.keyring[{number}]",
                f"{key.id} leaves while it is {key.state}: every session under it is lost, and its users sign in again",
                f"{WAY}: decrypt, then retired, then it leaves",
            )
    for number, key in after.values():
        path, old = f"sessions.keyring[{number}]", before.get(key.id)
        if old is None:
            if key.state != "decrypt":
                yield Refusal(
                    f"{path}.state",
                    f"{key.id} comes as {key.state}: pods with the old keyring cannot read what it writes",
                    f"{WAY}: it comes as decrypt",
                )
        elif key.state not in _NEXT[old.state]:
            yield Refusal(f"{path}.state", f"{key.id} goes from {old.state} to {key.state}", f"{WAY}: one state a step")
        elif key.state == "retired" != old.state:
            yield from _retired(edit, path, old)


def _retired(edit: Edit, path: str, key: SessionKey) -> Iterator[Refusal]:
    lifetime = timedelta(seconds=edit.before.sessions.ttl_seconds)
    if key.since is None:
        yield Refusal(
            f"{path}.since",
            f"{key.id} is to be retired, and nothing says since when it only decrypts",
            f"{WAY}: write since: when it became decrypt, and wait {edit.before.sessions.ttl_seconds} s from then",
        )
    elif edit.now < key.since + lifetime:
        yield Refusal(
            f"{path}.state",
            f"{key.id} only decrypts since {key.since.isoformat()}: sessions under it live until "
            f"{(key.since + lifetime).isoformat()}",
            f"{WAY}: wait for that",
        )


RULES = (keyring,)
