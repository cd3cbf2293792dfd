"""What notices from outside that users are not served: CloudFront's
own error rate, and checkers that ask as a user does.
"""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from components import iam
from topology import catalog
from topology.naming import GLOBAL
from topology.topology import Topology

ERROR_PERCENT = 1.0
"""Of CloudFront's answers: twenty times the error budget, for five minutes."""
HEALTH_PATH = "/healthz"
"""Answered by a pod, so that everything before it is on the way: DNS,
certificate, web ACL, CloudFront, nginx, the mesh.
"""
_RUNBOOK = "docs/runbooks/edge.md"


class EdgeWatch(pulumi.ComponentResource):
    """The edge's alarms and the topic that they go to, in the one AWS region that has the edge's metrics.

    `edge-errors`: the share of 5xx among CloudFront's answers, whoever gave them. `edge-unreachable`: Route 53's
    checkers, from several continents, get no answer from the public address; it sees what never becomes a request, such
    as a certificate that ended or a name that leads nowhere.

    Inputs: the distribution's id; `key`, what encrypts the topic.
    """

    def __init__(
        self,
        topology: Topology,
        distribution_id: pulumi.Output[str],
        key: pulumi.Output[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("hal9:edge_watch:EdgeWatch", "edge-watch", {}, opts)
        self._names, self._child = topology.names, pulumi.ResourceOptions(parent=self)
        self._tags = self._names.tags("edge", GLOBAL)
        self._topic = self._alarm_topic(topology, key)
        self._alarm(
            "edge-errors",
            f"CloudFront answers 5xx to more than {ERROR_PERCENT:g}%: {_RUNBOOK}",
            ("AWS/CloudFront", "5xxErrorRate"),
            {"DistributionId": distribution_id, "Region": "Global"},
            above=ERROR_PERCENT,
        )
        asked = aws.route53.HealthCheck(
            "edge",
            type="HTTPS",
            fqdn=topology.domain,
            port=443,
            resource_path=HEALTH_PATH,
            enable_sni=True,
            request_interval=30,
            failure_threshold=3,
            tags=self._names.tags("edge", GLOBAL, name=self._names.of("edge")),
            opts=self._child,
        )
        self._alarm(
            "edge-unreachable",
            f"https://{topology.domain}{HEALTH_PATH} does not answer from outside: {_RUNBOOK}",
            ("AWS/Route53", "HealthCheckStatus"),
            {"HealthCheckId": asked.id},
            below=1,
        )
        self.register_outputs({"topic_arn": self._topic.arn})

    def _alarm_topic(self, topology: Topology, key: pulumi.Output[str]) -> aws.sns.Topic:
        name = self._names.of("edge", "alarms")
        topic = aws.sns.Topic("edge-alarms", name=name, kms_master_key_id=key, tags=self._tags, opts=self._child)
        arn = f"arn:aws:sns:{catalog.GLOBAL_AWS_REGION}:{topology.account_id}:{name}"
        publish = {
            "Sid": "AlarmsOfThisAccount",
            "Effect": "Allow",
            "Principal": {"Service": catalog.CLOUDWATCH},
            "Action": "sns:Publish",
            "Resource": arn,
            "Condition": {"StringEquals": {"aws:SourceAccount": topology.account_id}},
        }
        aws.sns.TopicPolicy(
            "edge-alarms",
            arn=topic.arn,
            policy=pulumi.Output.json_dumps(iam.document(publish)),
            opts=self._child,
        )
        aws.sns.TopicSubscription(
            "edge-alarms-email",
            topic=topic.arn,
            protocol="email",
            endpoint=topology.alarm_email,
            opts=self._child,
        )
        return topic

    def _alarm(
        self,
        name: str,
        description: str,
        metric: tuple[str, str],
        dimensions: dict[str, pulumi.Input[str]],
        *,
        above: float | None = None,
        below: float | None = None,
    ) -> None:
        """On for five minutes; for an error rate no data is no requests, for a checker it is no checker."""
        threshold, comparison = (above, "GreaterThanThreshold") if above is not None else (below, "LessThanThreshold")
        aws.cloudwatch.MetricAlarm(
            name,
            name=self._names.of(name),
            alarm_description=description,
            namespace=metric[0],
            metric_name=metric[1],
            dimensions=dimensions,
            statistic="Average" if above is not None else "Minimum",
            period=60,
            evaluation_periods=5,
            datapoints_to_alarm=5,
            threshold=threshold,
            comparison_operator=comparison,
            treat_missing_data="notBreaching" if above is not None else "breaching",
            alarm_actions=[self._topic.arn],
            ok_actions=[self._topic.arn],
            tags=self._tags,
            opts=self._child,
        )
