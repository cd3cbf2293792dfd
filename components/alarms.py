"""One region's alarms: the topic that they go to, and how one is made."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pulumi_aws as aws

from components import iam
from components.keys import RegionKeys
from topology import catalog
from topology.settings import Region
from topology.topology import Topology

DATABASE_EVENTS = ("availability", "failover", "failure", "low storage", "notification", "read replica", "recovery")
"""What RDS tells of an instance without a metric for it (RDS User Guide, "Amazon RDS event categories")."""


class RegionAlarms(pulumi.ComponentResource):
    """One region's alarm topic, encrypted, with the operators' address subscribed, and what RDS tells of its instances.

    AWS sends nothing to an address before it has confirmed: the README's last step, and `make preflight` asks.

    Outputs: topic_arn. `alarm()` makes a CloudWatch alarm that goes to it.
    """

    def __init__(
        self, region: Region, topology: Topology, keys: RegionKeys, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("hal9:alarms:RegionAlarms", f"{region.name}-alarms", {}, opts)
        self._region, self._topology = region, topology
        child = pulumi.ResourceOptions(parent=self)
        name = topology.names.of(region.name, "alarms")
        self.topic = aws.sns.Topic(
            f"{region.name}-alarms",
            name=name,
            kms_master_key_id=keys.arns["telemetry"],
            tags=topology.names.tags("alarms", region.name),
            opts=child,
        )
        self.topic_arn = self.topic.arn
        arn = f"arn:aws:sns:{region.aws_region}:{topology.account_id}:{name}"
        policy = aws.sns.TopicPolicy(
            f"{region.name}-alarms",
            arn=self.topic_arn,
            policy=pulumi.Output.json_dumps(
                iam.document(
                    {
                        "Sid": "AlarmsAndDatabaseEventsOfThisAccount",
                        "Effect": "Allow",
                        "Principal": {"Service": [catalog.CLOUDWATCH, catalog.RDS_EVENTS]},
                        "Action": "sns:Publish",
                        "Resource": arn,
                        "Condition": {"StringEquals": {"aws:SourceAccount": topology.account_id}},
                    }
                )
            ),
            opts=child,
        )
        aws.sns.TopicSubscription(
            f"{region.name}-alarms-email",
            topic=self.topic_arn,
            protocol="email",
            endpoint=topology.alarm_email,
            opts=child,
        )
        aws.rds.EventSubscription(
            f"{region.name}-database-events",
            name=topology.names.of(region.name, "database-events"),
            sns_topic=self.topic_arn,
            source_type="db-instance",
            event_categories=list(DATABASE_EVENTS),
            tags=topology.names.tags("alarms", region.name),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[policy]),
        )
        self.register_outputs({"topic_arn": self.topic_arn})

    def alarm(
        self,
        name: str,
        *,
        description: str,
        namespace: str,
        metric: str,
        dimensions: Mapping[str, pulumi.Input[str]],
        above: float | None = None,
        below: float | None = None,
        statistic: str = "Average",
        minutes: int = 5,
        missing_data: str = "missing",
        tags: Mapping[str, str],
        opts: pulumi.ResourceOptions,
    ) -> aws.cloudwatch.MetricAlarm:
        """An alarm that fires when `metric` is above (or below) a threshold for `minutes` minutes on end."""
        threshold, comparison = (above, "GreaterThanThreshold") if above is not None else (below, "LessThanThreshold")
        return aws.cloudwatch.MetricAlarm(
            name,
            name=self._topology.names.of(name),
            alarm_description=description,
            namespace=namespace,
            metric_name=metric,
            dimensions=dict(dimensions),
            statistic=statistic,
            period=60,
            evaluation_periods=minutes,
            datapoints_to_alarm=minutes,
            threshold=threshold,
            comparison_operator=comparison,
            treat_missing_data=missing_data,
            alarm_actions=[self.topic_arn],
            ok_actions=[self.topic_arn],
            tags=dict(tags),
            opts=opts,
        )
