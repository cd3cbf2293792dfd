"""A shard's database accounts, from the secret files that the deployment mounts: `shard-<id>` for the app, `owner-<id>`
for migrations and moves of slots, `admin-<id>` for making both.

A file is read for every new connection. A rotation that swaps it therefore takes effect with the next
connection, and `pools.maxLifetimeSeconds` bounds how long the old account is still in use.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec

Role = Literal["hal9_app", "hal9_owner"]
"""What an account is a member of (app/databases/accounts.py)."""
APP: Role = "hal9_app"
OWNER: Role = "hal9_owner"
_Content = TypeVar("_Content")


class CredentialsError(RuntimeError):
    """A shard's secret file is missing or malformed. The message never carries its content."""


class Credentials(msgspec.Struct, frozen=True):
    """A database account."""

    username: str
    password: str

    def __repr__(self) -> str:
        """Without the password."""
        return f"Credentials(username={self.username!r})"


class Account(msgspec.Struct, frozen=True):
    """An account that a shard is to have: a member of `role`."""

    username: Annotated[str, msgspec.Meta(pattern=r"^hal9_(app|owner)_[0-9]+$")]
    password: str
    role: Role

    def __repr__(self) -> str:
        """Without the password."""
        return f"Account(username={self.username!r}, role={self.role!r})"


class Administration(msgspec.Struct, frozen=True):
    """What makes a shard's accounts: the master that RDS was born with, and every account that may log in."""

    master: Credentials
    accounts: tuple[Account, ...]


As = Literal["shard", "owner"]
"""Whose account a connection is opened with, by the secret file's kind: the app's, or its tables' owner's."""


def shard_credentials(secrets_directory: str | Path, shard_id: int, account: As = "shard") -> Credentials:
    """The account for a shard. Raises CredentialsError."""
    return _read(secrets_directory, f"{account}-{shard_id}", Credentials, "JSON with username and password")


def administration(secrets_directory: str | Path, shard_id: int) -> Administration:
    """A shard's master and the accounts that it is to have. Raises CredentialsError."""
    return _read(secrets_directory, f"admin-{shard_id}", Administration, "JSON with master and accounts")


def _read(secrets_directory: str | Path, name: str, content: type[_Content], form: str) -> _Content:
    try:
        return msgspec.json.decode((Path(secrets_directory) / name).read_bytes(), type=content)
    except OSError as error:
        raise CredentialsError(f"the secret file {name} cannot be read: {error.strerror}") from None
    except msgspec.MsgspecError:
        raise CredentialsError(f"the secret file {name} is not {form}") from None
