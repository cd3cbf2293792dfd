"""The secret files of a shard's accounts, as the deployment
mounts them, for a server that was made with a superuser.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from app.databases.credentials import APP, OWNER
from lab.servers.postgres import SUPERUSER


def write_accounts(directory: Path, shard: int, master_password: str) -> None:
    """Write `shard-<id>`, `owner-<id>` and `admin-<id>`; the accounts are there once app.migrate has run."""
    app, owner = (
        {"username": f"{role}_1", "password": secrets.token_urlsafe(18), "role": role} for role in (APP, OWNER)
    )
    master = {"username": SUPERUSER, "password": master_password}
    for name, content in {"shard": app, "owner": owner, "admin": {"master": master, "accounts": [app, owner]}}.items():
        (directory / f"{name}-{shard}").write_text(json.dumps(content))
