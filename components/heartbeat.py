"""One region's dead man's switch: what notices, from outside the cluster, that its monitoring does not run."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_aws as aws

from components.region import RegionCell
from topology.topology import Topology

SILENT_MINUTES = 15
"""Minutes without a heartbeat until the alarm: longer than Prometheus takes to start again on another node."""


class Heartbeat(pulumi.ComponentResource):
    """The topic that Alertmanager sends its heartbeat to every
    minute, and the alarm on CloudWatch's count of what came.

    Nobody subscribes to the topic: SNS itself counts what is published. The alarm is on while the count is missing,
    whatever the reason: no disk for Prometheus, no node, no rule, no Alertmanager, no leave to publish.

    Outputs: topic_arn.
    """

    def __init__(self, cell: RegionCell, topology: Topology, opts: pulumi.ResourceOptions | None = None) -> None:
        region = cell.region
        super().__init__("hal9:heartbeat:Heartbeat", f"{region.name}-heartbeat", {}, opts)
        self._cell, self._name = cell, f"{region.name}-heartbeat"
        self._topic_name, self._tags = (
            topology.names.of(region.name, "heartbeat"),
            topology.names.tags("heartbeat", region.name),
        )
        self.topic_arn = aws.sns.Topic(
            self._name,
            name=self._topic_name,
            kms_master_key_id=cell.keys.arns["telemetry"],
            tags=self._tags,
            opts=pulumi.ResourceOptions(parent=self),
        ).arn
        self.register_outputs({"topic_arn": self.topic_arn})

    def watch(self, after: Sequence[pulumi.Resource]) -> None:
        """The alarm, made when `after` stands: before it there is no heart to beat."""
        self._cell.alarms.alarm(
            self._name,
            description=f"Nothing watches {self._cell.region.name}: docs/runbooks/monitoring-heartbeat.md",
            namespace="AWS/SNS",
            metric="NumberOfMessagesPublished",
            dimensions={"TopicName": self._topic_name},
            below=1,
            statistic="Sum",
            minutes=SILENT_MINUTES,
            missing_data="breaching",
            tags=self._tags,
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(after)),
        )
