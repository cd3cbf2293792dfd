"""Rate limits of a user, an address and everybody, leased from Redis."""
