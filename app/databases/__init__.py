"""The shards: pools, routing by slot, reads and writes, what keeps them right while instances change."""
