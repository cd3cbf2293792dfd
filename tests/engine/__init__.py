"""The real Pulumi engine runs the real program against stand-in providers: `make test-engine`."""
