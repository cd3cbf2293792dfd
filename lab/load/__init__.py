"""Users that ask, what they saw, and what is made of it."""
