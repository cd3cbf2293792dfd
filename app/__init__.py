"""The app: sharding, caching and sessions, behind HTTP."""
