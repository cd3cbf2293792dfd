"""TCP ports of what is deployed, each of them here alone.
The app's own are the deployment document's (`ServerConfig`).
"""

from __future__ import annotations

POSTGRES = 5432
REDIS = 6379
DATASTORES = (POSTGRES, REDIS)
"""What speaks TLS of its own and has no sidecar."""

GATEWAY = 8443
"""nginx, for users: behind the public load balancer's 443."""
GATEWAY_PEERS = 9443
"""nginx, for the other regions' nginx."""
GATEWAY_HEALTH = 8080
GATEWAY_COUNTS = 8081
"""What nginx answered, counted beside it, for Prometheus."""

EAST_WEST = 15443
"""Istio's east-west gateway, for the other regions' sidecars; this and those below are Istio's own choice."""
EAST_WEST_HEALTH = 15021
ISTIOD = 15012
ISTIOD_METRICS = 15014
SIDECAR_METRICS = 15090
