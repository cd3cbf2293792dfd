"""The CrossGuard pack: `pulumi preview --policy-pack policies --policy-pack-config policies/config.prod.json`.

Only here is a `PolicyPack` made: its constructor starts the server that the engine asks, and does not return.
"""

import sys
from pathlib import Path

# The engine runs this folder as a program: its files would be top-level modules. `policies` is a package instead.
_HERE = Path(__file__).resolve().parent
sys.path[:] = [str(_HERE.parent), *(entry for entry in sys.path if Path(entry or ".").resolve() != _HERE)]

from pulumi_policy import EnforcementLevel, PolicyPack, policy  # noqa: E402

from policies import pack  # noqa: E402

setattr(policy, "deserialize_properties", pack.deserialized)  # noqa: B010 - it is not the module\'s to give away
PolicyPack(pack.NAME, pack.policies(), enforcement_level=EnforcementLevel.MANDATORY)
