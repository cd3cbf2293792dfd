"""What nginx answered, counted for Prometheus beside it: `python -m app.gateway`."""
