"""The CrossGuard pack: `pulumi preview --policy-pack policies --policy-pack-config policies/config.prod.json`.

Only here is a `PolicyPack` made: its constructor starts the server that the engine asks, and does not return.
"""

import sys
from pathlib import Path

from pulumi_policy import EnforcementLevel, PolicyPack, policy

sys.path[0] = str(
    Path(__file__).resolve().parents[1]
)  # the repository instead of this folder: `policies` is the package

from policies import pack  # noqa: E402 - found by the line above

setattr(policy, "deserialize_properties", pack.deserialized)  # noqa: B010 - it is not the module's to give away
PolicyPack(pack.NAME, pack.policies(), enforcement_level=EnforcementLevel.MANDATORY)
