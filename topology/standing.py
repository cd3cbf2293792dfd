"""What stands, as `pulumi up` of this very stack recorded it last, asked before a new `up` changes anything.

The resources stay a function of the stack file alone: what was recorded refuses an edit, and shapes nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pulumi
from pulumi import RunError

from topology.record import OUTPUT, RecordError, recorded
from topology.steps import decided
from topology.topology import Topology

OUTPUTS = "pulumi:pulumi:readStackOutputs"
"""The engine's own function that a StackReference reads through, too."""


class StepRefused(RunError):
    """Edits that are no steps from what stands: one line each. A RunError, so that the CLI prints no traceback."""


def check(topology: Topology) -> None:
    """StepRefused where an edit of what stands is none that may be made; nothing on a stack's first `up`."""
    name = f"{pulumi.get_organization()}/{pulumi.get_project()}/{topology.stack}"
    answer = pulumi.runtime.invoke(OUTPUTS, {"name": name}).value
    content = ((answer or {}).get("outputs") or {}).get(OUTPUT)
    if content is None:
        return
    fresh = [one for one in topology.accepted if one.path == OUTPUT and one.stack == topology.stack]
    try:
        before = recorded(content)
    except RecordError as error:
        if not fresh:
            raise StepRefused(
                f"What stands cannot be read from the stack's output {OUTPUT}: {error}. Nothing was changed. "
                f"Where the edit is known to be safe: hal9:accepted with path {OUTPUT} and a reason"
            ) from None
        pulumi.log.warn(f"What stands was not asked: {error}. Accepted: {fresh[0].reason}")
        return
    decision = decided(before, topology, datetime.now(UTC))
    for refusal, reason in decision.accepted:
        pulumi.log.warn(f"hal9:{refusal.path}: {refusal.what}. Accepted: {reason}")
    if decision.refused:
        count = "1 edit is no step" if len(decision.refused) == 1 else f"{len(decision.refused)} edits are no steps"
        lines = [f"  {refusal}" for refusal in decision.refused]
        raise StepRefused(
            "\n".join([f"Pulumi.{topology.stack}.yaml: {count} from what stands; nothing was changed.", *lines])
        )
