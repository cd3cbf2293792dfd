"""The edge's web ACL: what CloudFront refuses before a request reaches a region."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from topology.naming import GLOBAL
from topology.topology import Topology

_MANAGED = {
    "AWSManagedRulesAmazonIpReputationList": (),
    "AWSManagedRulesCommonRuleSet": ("SizeRestrictions_BODY",),
    "AWSManagedRulesKnownBadInputsRuleSet": (),
}
"""AWS's rule groups, and rules of theirs that only count: bodies up to the app's own limit are welcome."""
LIMITED_STATUS = 429


class Firewall(pulumi.ComponentResource):
    """The web ACL before CloudFront: managed rules, a limit for each
    address, countries that are not served, and its log.

    Its provider is us-east-1's, where CloudFront looks. The log leaves out tokens and cookies.

    Outputs: arn.
    """

    def __init__(
        self, topology: Topology, log_key: pulumi.Output[str], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("hal9:firewall:Firewall", "firewall", {}, opts)
        self._topology = topology
        child, names = pulumi.ResourceOptions(parent=self), topology.names
        tags = names.tags("firewall", GLOBAL)
        acl = aws.wafv2.WebAcl(
            "edge",
            name=names.of("edge"),
            description="HAL9's edge",
            scope="CLOUDFRONT",
            default_action=aws.wafv2.WebAclDefaultActionArgs(allow=aws.wafv2.WebAclDefaultActionAllowArgs()),
            visibility_config=self._visible("edge"),
            rules=[*self._geographic(0), self._by_address(1), *self._managed(2)],
            tags=tags,
            opts=child,
        )
        log = aws.cloudwatch.LogGroup(
            "firewall",
            name=f"aws-waf-logs-{names.of('edge')}",  # WAF writes to no other prefix
            retention_in_days=topology.edge.log_retention_days,
            kms_key_id=log_key,
            tags=tags,
            opts=child,
        )
        header = aws.wafv2.WebAclLoggingConfigurationRedactedFieldArgs
        aws.wafv2.WebAclLoggingConfiguration(
            "edge",
            resource_arn=acl.arn,
            log_destination_configs=[log.arn],
            redacted_fields=[
                header(single_header=aws.wafv2.WebAclLoggingConfigurationRedactedFieldSingleHeaderArgs(name=name))
                for name in ("authorization", "cookie")
            ],
            opts=child,
        )
        self.arn = acl.arn
        self.register_outputs({"arn": self.arn})

    def _visible(self, name: str) -> aws.wafv2.WebAclVisibilityConfigArgs:
        return aws.wafv2.WebAclVisibilityConfigArgs(
            cloudwatch_metrics_enabled=True, metric_name=self._topology.names.of(name), sampled_requests_enabled=True
        )

    def _rule_visible(self, name: str) -> aws.wafv2.WebAclRuleVisibilityConfigArgs:
        return aws.wafv2.WebAclRuleVisibilityConfigArgs(
            cloudwatch_metrics_enabled=True, metric_name=self._topology.names.of(name), sampled_requests_enabled=True
        )

    def _geographic(self, priority: int) -> list[aws.wafv2.WebAclRuleArgs]:
        countries = list(self._topology.edge.blocked_countries)
        if not countries:
            return []  # WAF refuses an empty list
        match = aws.wafv2.WebAclRuleStatementGeoMatchStatementArgs(country_codes=countries)
        return [
            aws.wafv2.WebAclRuleArgs(
                name="countries-not-served",
                priority=priority,
                action=aws.wafv2.WebAclRuleActionArgs(block=aws.wafv2.WebAclRuleActionBlockArgs()),
                statement=aws.wafv2.WebAclRuleStatementArgs(geo_match_statement=match),
                visibility_config=self._rule_visible("countries-not-served"),
            )
        ]

    def _by_address(self, priority: int) -> aws.wafv2.WebAclRuleArgs:
        limit = aws.wafv2.WebAclRuleStatementRateBasedStatementArgs(
            limit=self._topology.edge.address_limit_per_five_minutes,
            aggregate_key_type="IP",
            evaluation_window_sec=300,
        )
        block = aws.wafv2.WebAclRuleActionBlockArgs(
            custom_response=aws.wafv2.WebAclRuleActionBlockCustomResponseArgs(response_code=LIMITED_STATUS)
        )
        return aws.wafv2.WebAclRuleArgs(
            name="limit-by-address",
            priority=priority,
            action=aws.wafv2.WebAclRuleActionArgs(block=block),
            statement=aws.wafv2.WebAclRuleStatementArgs(rate_based_statement=limit),
            visibility_config=self._rule_visible("limit-by-address"),
        )

    def _managed(self, priority: int) -> list[aws.wafv2.WebAclRuleArgs]:
        override = aws.wafv2.WebAclRuleStatementManagedRuleGroupStatementRuleActionOverrideArgs
        use = aws.wafv2.WebAclRuleStatementManagedRuleGroupStatementRuleActionOverrideActionToUseArgs
        count = aws.wafv2.WebAclRuleStatementManagedRuleGroupStatementRuleActionOverrideActionToUseCountArgs
        return [
            aws.wafv2.WebAclRuleArgs(
                name=group,
                priority=priority + index,
                override_action=aws.wafv2.WebAclRuleOverrideActionArgs(
                    none=aws.wafv2.WebAclRuleOverrideActionNoneArgs()  # type: ignore[no-untyped-call]  # the SDK's
                ),
                statement=aws.wafv2.WebAclRuleStatementArgs(
                    managed_rule_group_statement=aws.wafv2.WebAclRuleStatementManagedRuleGroupStatementArgs(
                        vendor_name="AWS",
                        name=group,
                        rule_action_overrides=[
                            override(name=rule, action_to_use=use(count=count())) for rule in counted
                        ]
                        or None,
                    )
                ),
                visibility_config=self._rule_visible(group),
            )
            for index, (group, counted) in enumerate(_MANAGED.items())
        ]
