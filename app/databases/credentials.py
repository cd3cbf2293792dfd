"""A shard's database account, from the secret file `shard-<id>` that the deployment mounts.

The file is read for every new connection. A rotation that swaps it therefore takes effect with the next
connection, and `pools.maxLifetimeSeconds` bounds how long the old account is still in use.
"""

from __future__ import annotations

from pathlib import Path

import msgspec


class CredentialsError(RuntimeError):
    """A shard's secret file is missing or malformed. The message never carries its content."""


class Credentials(msgspec.Struct, frozen=True):
    """A database account."""

    username: str
    password: str

    def __repr__(self) -> str:
        """Without the password."""
        return f"Credentials(username={self.username!r})"


def shard_credentials(secrets_directory: str | Path, shard_id: int) -> Credentials:
    """The account for a shard. Raises CredentialsError."""
    path = Path(secrets_directory) / f"shard-{shard_id}"
    try:
        return msgspec.json.decode(path.read_bytes(), type=Credentials)
    except OSError as error:
        raise CredentialsError(f"the secret file shard-{shard_id} cannot be read: {error.strerror}") from None
    except msgspec.MsgspecError:
        raise CredentialsError(f"the secret file shard-{shard_id} is not JSON with username and password") from None
