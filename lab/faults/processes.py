"""Faults of processes without data of their own, of session stores, and planned changes to them."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from app.deployment import Deployment, SessionKey
from lab.faults.fault import Say, victim
from lab.lab import Lab


def kill_app(lab: Lab, say: Say) -> None:
    """An app process is killed."""
    part = lab.rack.apps(victim(lab))[0]
    part.kill()
    say(f"{part.name} killed")


def revive_app(lab: Lab, say: Say) -> None:
    """The process that was killed starts again."""
    lab.rack.apps(victim(lab))[0].start()
    say("it is back")


def kill_sessions(lab: Lab, say: Say) -> None:
    """The session store is killed, and comes back with what it had on disk."""
    part = lab.rack.sessions(victim(lab))
    part.kill()
    say(f"{part.name} killed")


def revive_sessions(lab: Lab, say: Say) -> None:
    """The session store starts from its disk."""
    lab.rack.sessions(victim(lab)).start()
    say("it is back, with what it had written to disk")


def roll(lab: Lab, say: Say) -> None:
    """Every app process in turn is told to end, drained, started
    anew. nginx's other servers carry its users meanwhile.
    """
    for part in lab.rack.apps():
        part.stop()
        part.start()
        say(f"{part.name} is new")


def rotate(lab: Lab, say: Say) -> None:
    """A new session key decrypts everywhere, then encrypts. The old
    one decrypts; each of the runbook's steps is a roll.
    """
    new = f"k{len(lab.documents[lab.layout.regions[0]].sessions.keyring) + 1}"
    lab.add_session_key(new)

    def keyring(
        change: Callable[[tuple[SessionKey, ...]], tuple[SessionKey, ...]],
    ) -> Callable[[Deployment], Deployment]:
        def changed(document: Deployment) -> Deployment:
            sessions = structs.replace(document.sessions, keyring=change(document.sessions.keyring))
            return structs.replace(document, sessions=sessions)

        return changed

    lab.change_documents(keyring(lambda keys: (*keys, SessionKey(id=new, state="decrypt"))))
    say(f"{new} decrypts")
    roll(lab, say)
    lab.change_documents(
        keyring(
            lambda keys: tuple(
                SessionKey(
                    id=key.id, state="active" if key.id == new else "decrypt" if key.state == "active" else key.state
                )
                for key in keys
            )
        )
    )
    say(f"{new} encrypts, the old key only decrypts")
    roll(lab, say)
