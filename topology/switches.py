"""What of Pulumi's own configuration a stack file must have, and must
not: its safety switch, and nothing for a default provider.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from topology.stackfile import Mistake

NO_DEFAULTS = "pulumi:disable-default-providers"
PACKAGES = ("aws", "kubernetes")


def mistakes(config: Mapping[str, str]) -> Iterator[Mistake]:
    """Every mistake in the keys of a flat configuration that are not this project's."""
    try:
        off = json.loads(config.get(NO_DEFAULTS) or "[]")
    except ValueError:
        off = []
    missing = [] if "*" in off else [package for package in PACKAGES if package not in off]
    if missing:
        right = f"[{', '.join(PACKAGES)}]"
        yield Mistake(
            NO_DEFAULTS,
            f"{'lacks ' + ', '.join(missing) if off else 'is missing'}; {right}, so that no resource "
            "lands in whatever region the "
            "deployer's shell points to",
        )
    for key in sorted(config):
        if key.partition(":")[0] in PACKAGES:
            yield Mistake(key, "has no effect, as default providers are off; a region is regions.NAME.awsRegion")
