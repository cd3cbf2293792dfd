"""Sessions: kept encrypted in the region's store, copied to others, moved and ended."""
