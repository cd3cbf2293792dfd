-- One shard's tables. Every primary key begins with the slot: it is the replica identity, a publication's row
-- filter may use only columns of that identity, and a move copies, checks and deletes slot by slot along it.
-- No sequence anywhere: logical replication does not carry them.

-- Who owns each slot: owned (takes writes), fenced (the owner, paused for a move to shard `peer`), incoming (may
-- become the owner by that move), moved (not here).
-- One row a slot, not one a range: every write transaction takes a share lock on its row, and a row shared by a
-- third of all users would make a MultiXact of each pair of writers.
CREATE TABLE slots (
    slot smallint PRIMARY KEY CHECK (slot BETWEEN 0 AND 999),
    epoch bigint NOT NULL,
    state text NOT NULL CHECK (state IN ('owned', 'fenced', 'incoming', 'moved')),
    move uuid,
    peer integer,
    changed_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE users (
    slot smallint NOT NULL CHECK (slot BETWEEN 0 AND 999),
    user_id uuid NOT NULL,
    region text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (slot, user_id)
);

CREATE TABLE items (
    slot smallint NOT NULL CHECK (slot BETWEEN 0 AND 999),
    user_id uuid NOT NULL,
    key text COLLATE "C" NOT NULL,
    value bytea NOT NULL,
    content_type text NOT NULL,
    version bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (slot, user_id, key)
);

-- A write's key, what it asked for and what came of it, in the write's own transaction.
CREATE TABLE idempotency_keys (
    slot smallint NOT NULL CHECK (slot BETWEEN 0 AND 999),
    user_id uuid NOT NULL,
    key text COLLATE "C" NOT NULL,
    request bytea NOT NULL,
    result bytea,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (slot, user_id, key)
);
CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at);

-- Moves of slots between shards: kept by the source, which decides until the switch (app/reshard).
CREATE TABLE moves (
    id uuid PRIMARY KEY,
    source integer NOT NULL,
    target integer NOT NULL,
    slots smallint[] NOT NULL,
    step text NOT NULL,
    epoch bigint NOT NULL,
    facts jsonb NOT NULL DEFAULT '{}',
    started_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- Written by the sender of a stream after its last change: once the receiver has a marker, it has all before it.
CREATE TABLE move_markers (
    move uuid NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (move, number)
);
