"""Online resharding: slots move from one shard to another under load, with a write pause well under a second.

How a move goes (`move.Mover`), each step recorded in the source's `moves` table and safe to repeat:
copy the slots' rows by logical replication; compare both sides chunk by chunk; open the way back; switch (fence,
drain, hand over, within the pause); compare again over the way back. From then on `reverse` returns the slots with
every write made since, or `finish` closes the way back and deletes the source's copy. `abort` undoes a move that
has not switched yet.

What keeps it safe: a slot is written only where its row says `owned`, checked by every write transaction under a
share lock; the hand-over is one conditional update on the receiving shard, so it happens once or not at all,
whoever dies when; the copy that does not own changes by replication alone.
"""
