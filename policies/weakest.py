"""The weakest value of each field that a reference names, for the types of prod's plan: what the policies must catch.

`python -m policies.document` puts each into prod's plan and writes docs/weakest.md: which policies fire, and why nothing
does where nothing need.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from plan.record import Resource
from policies.stack import Stack

GONE = "(taken out)"
"""The weakest value of a field whose absence is weakest."""
_FOREIGN = "arn:aws:iam::814702239655:root"
_OPEN = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}]}'
)


@dataclass(frozen=True)
class Weakening:
    """`value` at `path` of one resource of `type` (the first whose name has `name`). `harmless` says why it may pass."""

    type: str
    path: str
    value: Any
    reference: str
    name: str = ""
    harmless: str = ""

    def of(self, stack: Stack) -> Stack | None:
        """The stack with the weak value in; None where no resource of it has the place."""
        for resource in stack.of(self.type):
            if self.name in resource.name and (changed := self._put(resource)) is not None:
                return Stack(tuple(changed if r is resource else r for r in stack.resources), stack.config)
        return None

    def _put(self, resource: Resource) -> Resource | None:
        if self.path in ("protect", "provider"):
            return replace(resource, **{self.path: self.value})
        inputs = copy.deepcopy(dict(resource.inputs))
        holder: Any = inputs
        *parents, last = (int(part) if part.isdigit() else part.replace("~", "/") for part in self.path.split("/"))
        for part in parents:
            if isinstance(holder, list) and isinstance(part, int) and part < len(holder):
                holder = holder[part]
            elif isinstance(holder, dict):
                holder = holder.setdefault(part, {})
            else:
                return None
        if self.value == GONE:
            if isinstance(holder, dict) and last not in holder:
                return None
            del holder[last]
        else:
            holder[last] = copy.deepcopy(self.value)
        sources = dict(resource.property_dependencies)
        if not parents:
            sources.pop(str(last), None)  # what is typed in comes from no resource
        return replace(resource, inputs=inputs, property_dependencies=sources)


def _rows(token: str, *rows: tuple[Any, ...]) -> Iterator[Weakening]:
    for path, value, reference, *more in rows:
        yield Weakening(token, path, value, reference, *more)


_AWS: tuple[tuple[str, tuple[tuple[Any, ...], ...]], ...] = (
    ("aws:rds/instance:Instance", (
        ("publiclyAccessible", True, "CKV_AWS_17"), ("storageEncrypted", False, "CKV_AWS_16"),
        ("deletionProtection", False, "CKV_AWS_293"), ("multiAz", False, "CKV_AWS_157"),
        ("backupRetentionPeriod", 0, "CKV_AWS_133"), ("autoMinorVersionUpgrade", False, "CKV_AWS_226"),
        ("enabledCloudwatchLogsExports", [], "CKV_AWS_129"), ("monitoringInterval", 0, "CKV_AWS_118"),
        ("performanceInsightsEnabled", False, "CKV_AWS_353"), ("performanceInsightsKmsKeyId", GONE, "CKV_AWS_354"),
        ("copyTagsToSnapshot", False, "CKV2_AWS_60"), ("iamDatabaseAuthenticationEnabled", False, "CKV_AWS_161"),
        ("kmsKeyId", GONE, "CKV_AWS_16"), ("skipFinalSnapshot", True, "REL09-BP02", "shard-0-us-west"),
        ("deleteAutomatedBackups", True, "REL09-BP02"), ("vpcSecurityGroupIds", GONE, "SEC05-BP02"),
        ("parameterGroupName", GONE, "CKV2_AWS_69"), ("dbSubnetGroupName", GONE, "CKV_AWS_17"),
        ("password", "hunter2", "CKV_SECRET_6", "shard-0-us-west"), ("caCertIdentifier", "rds-ca-2019", "CKV_AWS_211"),
        ("engineVersion", "12.1", "RDS User Guide, end of support", "shard-0-us-west"),
        ("port", 5433, "RDS.23", "", "another port is refused by the groups, whose rules name 5432"),
        ("storageType", "standard", "RDS User Guide, previous generation"), ("protect", False, "REL09-BP02"),
        ("customIamInstanceProfile", "x", "SEC03-BP02"), ("networkType", "DUAL", "SEC05-BP02"),
    )),
    ("aws:rds/parameterGroup:ParameterGroup", (
        ("parameters/0/value", "0", "CKV2_AWS_69"), ("parameters", [], "CKV2_AWS_30"),
    )),
    ("aws:rds/instanceAutomatedBackupsReplication:InstanceAutomatedBackupsReplication", (
        ("retentionPeriod", 1, "REL09-BP04"), ("kmsKeyId", GONE, "CKV_AWS_245"),
    )),
    ("aws:rds/eventSubscription:EventSubscription", (
        ("enabled", False, "RDS.19"), ("eventCategories", ["creation"], "RDS.19"),
    )),
    ("aws:elasticache/replicationGroup:ReplicationGroup", (
        ("transitEncryptionEnabled", False, "CKV_AWS_30"), ("atRestEncryptionEnabled", False, "CKV_AWS_29"),
        ("authToken", GONE, "CKV_AWS_31", "cache"), ("kmsKeyId", GONE, "CKV_AWS_191"),
        ("automaticFailoverEnabled", False, "CKV2_AWS_50"), ("multiAzEnabled", False, "CKV2_AWS_50"),
        ("snapshotRetentionLimit", 0, "CKV_AWS_134", "cache"), ("transitEncryptionMode", "preferred", "CKV_AWS_30"),
        ("securityGroupIds", [], "SEC05-BP02"), ("authToken", "hunter2hunter2hunter2", "CKV_SECRET_6"),
        ("autoMinorVersionUpgrade", False, "ElastiCache.2"), ("subnetGroupName", GONE, "ElastiCache.7"),
        ("replicasPerNodeGroup", 0, "CKV2_AWS_50", "cache"), ("userGroupIds", ["everybody"], "SEC03-BP02"),
        ("engineVersion", "5.0.6", "ElastiCache.6", "cache"),
    )),
    ("aws:kms/key:Key", (
        ("enableKeyRotation", False, "CKV_AWS_7"), ("policy", _OPEN, "CKV_AWS_33"), ("policy", GONE, "CKV2_AWS_64"),
        ("deletionWindowInDays", 7, "KMS.3", "", "AWS's own minimum, and what dev has; the keys are protected"), ("isEnabled", False, "CKV_AWS_227"),
        ("bypassPolicyLockoutSafetyCheck", True, "KMS API"), ("protect", False, "KMS.3"),
    )),
    ("aws:secretsmanager/secret:Secret", (
        ("kmsKeyId", GONE, "CKV_AWS_149"), ("recoveryWindowInDays", 0, "SecretsManager.4"),
        ("policy", _OPEN, "CKV_AWS_149"), ("replicas", [{"region": "us-east-1"}], "SEC08-BP01"),
    )),
    ("aws:secretsmanager/secretVersion:SecretVersion", (("secretString", "hunter2", "CKV_SECRET_6"),)),
    ("aws:cloudwatch/logGroup:LogGroup", (
        ("kmsKeyId", GONE, "CKV_AWS_158"), ("retentionInDays", GONE, "CKV_AWS_66"), ("retentionInDays", 1, "CKV_AWS_338"),
    )),
    ("aws:cloudwatch/metricAlarm:MetricAlarm", (
        ("alarmActions", [], "CloudWatch.15"), ("actionsEnabled", False, "CKV_AWS_319"),
        ("threshold", 1e12, "REL06-BP02", "", "what a threshold should be is its component's test's to say"), ("evaluationPeriods", 1000, "REL06-BP02"),
        ("treatMissingData", "ignore", "REL06-BP02"),
    )),
    ("aws:ecr/repository:Repository", (
        ("imageTagMutability", "MUTABLE", "CKV_AWS_51"), ("imageScanningConfiguration/scanOnPush", False, "CKV_AWS_163"),
        ("encryptionConfigurations", GONE, "CKV_AWS_136"), ("forceDelete", True, "ECR API"),
    )),
    ("aws:ecr/replicationConfiguration:ReplicationConfiguration", (
        ("replicationConfiguration/rules/0/destinations/0/registryId", "814702239655", "SEC03-BP07"),
    )),
    ("aws:sns/topic:Topic", (
        ("kmsMasterKeyId", GONE, "CKV_AWS_26"), ("policy", _OPEN, "CKV_AWS_169"),
        ("httpFailureFeedbackRoleArn", _FOREIGN.replace("root", "role/x"), "SEC03-BP07"),
    )),
    ("aws:sns/topicPolicy:TopicPolicy", (("policy", _OPEN, "CKV_AWS_169"),)),
    ("aws:sns/topicSubscription:TopicSubscription", (
        ("endpoint", "someone@elsewhere.eu", "SEC03-BP07"), ("protocol", "http", "SNS.4"),
    )),
    ("aws:iam/role:Role", (
        ("assumeRolePolicy", _OPEN, "CKV_AWS_60"), ("managedPolicyArns", ["arn:aws:iam::aws:policy/AdministratorAccess"], "CKV_AWS_274"),
        ("inlinePolicies", [{"name": "a", "policy": _OPEN}], "CKV_AWS_355"), ("maxSessionDuration", 43200, "IAM User Guide"),
    )),
    ("aws:iam/rolePolicy:RolePolicy", (("policy", _OPEN.replace('"Principal": "*", ', ""), "CKV_AWS_355"),)),
    ("aws:iam/rolePolicyAttachment:RolePolicyAttachment", (
        ("policyArn", "arn:aws:iam::aws:policy/AdministratorAccess", "CKV_AWS_274"),
        ("policyArn", "arn:aws:iam::aws:policy/PowerUserAccess", "CKV_AWS_274"),
        ("policyArn", "arn:aws:iam::814702239655:policy/theirs", "SEC03-BP07"),
    )),
    ("aws:eks/cluster:Cluster", (
        ("vpcConfig/endpointPublicAccess", True, "CKV_AWS_39"), ("vpcConfig/publicAccessCidrs", ["0.0.0.0/0"], "CKV_AWS_38", "", "nothing listens: with endpointPublicAccess it is caught"),
        ("vpcConfig/endpointPrivateAccess", False, "EKS Best Practices"), ("enabledClusterLogTypes", [], "CKV_AWS_37"),
        ("encryptionConfig", GONE, "CKV_AWS_58"), ("version", "1.24", "CKV_AWS_339"),
        ("accessConfig/authenticationMode", "CONFIG_MAP", "EKS Best Practices"),
        ("accessConfig/bootstrapClusterCreatorAdminPermissions", True, "EKS Best Practices"),
        ("deletionProtection", False, "REL09-BP02"), ("vpcConfig/securityGroupIds", ["sg-1"], "SEC05-BP02"),
        ("zonalShiftConfig", GONE, "REL10-BP01"), ("upgradePolicy/supportType", "EXTENDED", "EKS User Guide"),
        ("remoteNetworkConfig", {"remoteNodeNetworks": {"cidrs": ["0.0.0.0/1"]}}, "SEC05-BP02"),
    )),
    ("aws:eks/nodeGroup:NodeGroup", (
        ("remoteAccess", {"ec2SshKey": "k"}, "CKV_AWS_100"), ("scalingConfig/minSize", 0, "EKS Best Practices", "on-demand"),
        ("capacityType", "SPOT", "EKS Best Practices", "on-demand"), ("launchTemplate", GONE, "CKV_AWS_341"),
        ("instanceTypes", ["m6i.2xlarge"], "EKS Best Practices", "spot"), ("updateConfig", {"maxUnavailablePercentage": 100}, "REL05-BP01"),
        ("version", "1.24", "CKV_AWS_339"), ("forceUpdateVersion", True, "EKS User Guide"),
    )),
    ("aws:eks/accessEntry:AccessEntry", (
        ("principalArn", _FOREIGN, "CIS EKS 5.5.1"), ("kubernetesGroups", ["system:masters"], "CIS EKS 4.1.7"),
    )),
    ("aws:eks/accessPolicyAssociation:AccessPolicyAssociation", (("principalArn", _FOREIGN.replace("root", "role/x"), "CIS EKS 5.5.1"),)),
    ("aws:eks/podIdentityAssociation:PodIdentityAssociation", (
        ("serviceAccount", "default", "CIS EKS 4.1.5"), ("targetRoleArn", _FOREIGN.replace("root", "role/x"), "SEC03-BP07"),
        ("disableSessionTags", True, "EKS User Guide"),
    )),
    ("aws:eks/addon:Addon", (
        ("addonVersion", GONE, "EKS User Guide"), ("serviceAccountRoleArn", _FOREIGN.replace("root", "role/x"), "SEC03-BP07"),
    )),
    ("aws:ec2/launchTemplate:LaunchTemplate", (
        ("metadataOptions/httpTokens", "optional", "CKV_AWS_79"), ("metadataOptions/httpPutResponseHopLimit", 2, "CKV_AWS_341"),
        ("metadataOptions", GONE, "CKV_AWS_79"), ("blockDeviceMappings/0/ebs/encrypted", False, "CKV_AWS_8"),
        ("networkInterfaces", [{"associatePublicIpAddress": "true"}], "CKV_AWS_88"), ("keyName", "k", "EC2.184"),
        ("userData", "Y3VybCBldmls", "EC2 User Guide"), ("iamInstanceProfile", {"name": "admin"}, "SEC03-BP02"),
        ("imageId", "ami-1", "SEC06-BP01"), ("vpcSecurityGroupIds", ["sg-1"], "SEC05-BP02"),
        ("metadataOptions/instanceMetadataTags", "enabled", "EC2 User Guide", "", "the tags say who owns what, and no secret"),
    )),
    ("aws:ec2/subnet:Subnet", (
        ("mapPublicIpOnLaunch", True, "CKV_AWS_130"), ("assignIpv6AddressOnCreation", True, "SEC05-BP02"),
        ("ipv6CidrBlock", "2600::/64", "SEC05-BP02"),
    )),
    ("aws:ec2/vpc:Vpc", (
        ("assignGeneratedIpv6CidrBlock", True, "SEC05-BP02"), ("cidrBlock", "10.1.0.0/16", "VPC User Guide", "us-west"),
        ("enableDnsSupport", False, "VPC User Guide"), ("protect", False, "REL09-BP02"),
    )),
    ("aws:ec2/flowLog:FlowLog", (("trafficType", "REJECT", "CKV2_AWS_11"), ("logDestination", "arn:aws:s3:::theirs", "SEC04-BP01"))),
    ("aws:ec2/defaultSecurityGroup:DefaultSecurityGroup", (
        ("ingress", [{"protocol": "-1", "fromPort": 0, "toPort": 0, "cidrBlocks": ["0.0.0.0/0"]}], "CKV2_AWS_12"),
        ("egress", [{"protocol": "-1", "fromPort": 0, "toPort": 0, "cidrBlocks": ["0.0.0.0/0"]}], "CKV2_AWS_12"),
    )),
    ("aws:ec2/securityGroup:SecurityGroup", (
        ("ingress", [{"protocol": "tcp", "fromPort": 22, "toPort": 22, "cidrBlocks": ["0.0.0.0/0"]}], "CKV_AWS_24"),
        ("egress", [{"protocol": "-1", "fromPort": 0, "toPort": 0, "cidrBlocks": ["0.0.0.0/0"]}], "CKV_AWS_382"),
    )),
    ("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", (
        ("cidrIpv4", "0.0.0.0/0", "CKV_AWS_24"), ("cidrIpv4", "0.0.0.0/1", "CKV_AWS_24"), ("cidrIpv6", "::/0", "CKV_AWS_24"),
        ("prefixListId", "pl-1", "SEC05-BP02"), ("referencedSecurityGroupId", "814702239655/sg-1", "SEC05-BP02"),
        ("ipProtocol", "-1", "SEC05-BP02", "database"), ("toPort", 65535, "SEC05-BP02", "database"),
        ("fromPort", 0, "SEC05-BP02", "database"), ("ipProtocol", "-1", "SEC05-BP02", "public"),
    )),
    ("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule", (
        ("cidrIpv4", "0.0.0.0/0", "CKV_AWS_382", "database"), ("ipProtocol", "-1", "CKV_AWS_382", "database"),
        ("cidrIpv6", "::/0", "CKV_AWS_382", "database"), ("prefixListId", "pl-1", "CKV_AWS_382", "database"),
    )),
    ("aws:ec2/route:Route", (
        ("destinationCidrBlock", "0.0.0.0/0", "CKV2_AWS_44", "data"), ("gatewayId", "igw-1", "CKV2_AWS_44", "data"),
        ("vpcEndpointId", "vpce-1", "SEC05-BP01", "data"),
    )),
    ("aws:ec2/vpcEndpoint:VpcEndpoint", (
        ("policy", _OPEN, "SEC05-BP02"), ("serviceName", "com.amazonaws.vpce.us-west-2.vpce-svc-1", "SEC05-BP02"),
        ("securityGroupIds", [], "SEC05-BP02"), ("privateDnsEnabled", False, "VPC User Guide", "ecr"),
    )),
    ("aws:ec2/vpcPeeringConnection:VpcPeeringConnection", (
        ("peerOwnerId", "814702239655", "SEC05-BP01"), ("peerVpcId", "vpc-1", "SEC05-BP01"),
    )),
    ("aws:ec2/routeTable:RouteTable", (("routes", [{"cidrBlock": "0.0.0.0/0", "gatewayId": "igw-1"}], "CKV2_AWS_44", "data"),)),
    ("aws:lb/listener:Listener", (
        ("sslPolicy", "ELBSecurityPolicy-2016-08", "CKV_AWS_103", "public"), ("protocol", "TCP", "CKV_AWS_2", "public"),
        ("port", 80, "CKV_AWS_2", "public"), ("certificateArn", GONE, "CKV_AWS_2", "public"),
    )),
    ("aws:lb/loadBalancer:LoadBalancer", (
        ("internal", False, "ELB User Guide", "internal"), ("enableDeletionProtection", False, "CKV_AWS_150"),
        ("securityGroups", [], "SEC05-BP02"), ("ipAddressType", "dualstack", "SEC05-BP02"),
    )),
    ("aws:lb/targetGroup:TargetGroup", (("protocol", "UDP", "CKV_AWS_378"), ("healthCheck/enabled", False, "CKV_AWS_261"))),
    ("aws:cloudfront/distribution:Distribution", (
        ("webAclId", GONE, "CKV_AWS_68"), ("viewerCertificate/minimumProtocolVersion", "TLSv1", "CKV_AWS_174"),
        ("viewerCertificate", {"cloudfrontDefaultCertificate": True}, "CKV2_AWS_42"),
        ("defaultCacheBehavior/viewerProtocolPolicy", "allow-all", "CKV_AWS_34"),
        ("defaultCacheBehavior/responseHeadersPolicyId", GONE, "CKV2_AWS_32"),
        ("orderedCacheBehaviors/0/viewerProtocolPolicy", "allow-all", "CKV_AWS_34"),
        ("orderedCacheBehaviors/0/responseHeadersPolicyId", GONE, "CKV2_AWS_32"),
        ("origins/0/customOriginConfig/originProtocolPolicy", "http-only", "CloudFront.10"),
        ("origins/0/customOriginConfig/originSslProtocols", ["TLSv1"], "CloudFront.10"),
        ("origins/0/customHeaders", [], "CloudFront Developer Guide"), ("origins/0/domainName", "elsewhere.eu", "SEC05-BP01"),
        ("defaultCacheBehavior/functionAssociations", [{"eventType": "viewer-request", "functionArn": "arn:x"}], "SEC06-BP01"),
        ("enabled", False, "CloudFront Developer Guide"), ("aliases", [], "CloudFront Developer Guide"),
    )),
    ("aws:cloudfront/responseHeadersPolicy:ResponseHeadersPolicy", (
        ("securityHeadersConfig/strictTransportSecurity", GONE, "CKV_AWS_259"),
        ("securityHeadersConfig/strictTransportSecurity/accessControlMaxAgeSec", 1, "CKV_AWS_259"),
        ("corsConfig", {"accessControlAllowOrigins": {"items": ["*"]}, "accessControlAllowCredentials": True}, "OWASP, CORS"),
    )),
    ("aws:cloudfront/cachePolicy:CachePolicy", (
        ("parametersInCacheKeyAndForwardedToOrigin/headersConfig", {"headerBehavior": "none"}, "CloudFront Developer Guide", "private"),
        ("minTtl", 86400, "CloudFront Developer Guide", "private"),
    )),
    ("aws:wafv2/webAcl:WebAcl", (
        ("defaultAction", {"block": {}}, "REL05-BP02"), ("rules", [], "CKV2_AWS_31"),
        ("visibilityConfig/cloudwatchMetricsEnabled", False, "WAF Developer Guide"),
        ("rules/1/action", {"count": {}}, "WAF Developer Guide"), ("rules/3/overrideAction", {"count": {}}, "WAF Developer Guide"),
    )),
    ("aws:wafv2/webAclLoggingConfiguration:WebAclLoggingConfiguration", (
        ("loggingFilter", {"defaultBehavior": "DROP", "filters": []}, "CKV2_AWS_31"), ("redactedFields", [], "WAF Developer Guide"),
    )),
    ("aws:route53/record:Record", (
        ("records", ["elsewhere.eu"], "SEC05-BP01", "origin-"), ("aliases", [{"name": "elsewhere.eu", "zoneId": "Z1"}], "SEC05-BP01", "origin-"),
        ("healthCheckId", GONE, "REL13-BP05", "origin-"),
    )),
    ("aws:route53/healthCheck:HealthCheck", (
        ("disabled", True, "REL13-BP05"), ("invertHealthcheck", True, "REL13-BP05"), ("type", "HTTP", "REL13-BP05"),
    )),
    ("aws:route53/zone:Zone", (("forceDestroy", True, "REL09-BP02"), ("protect", False, "REL09-BP02"))),
    ("aws:acm/certificate:Certificate", (
        ("validationMethod", "EMAIL", "ACM User Guide"), ("keyAlgorithm", "RSA_1024", "ACM.2"),
        ("options", {"certificateTransparencyLoggingPreference": "DISABLED"}, "CKV_AWS_234"),
    )),
    ("tls:index/privateKey:PrivateKey", (("algorithm", "RSA", "NIST SP 800-57"), ("ecdsaCurve", "P224", "NIST SP 800-57"))),
    ("random:index/randomPassword:RandomPassword", (("length", 4, "NIST SP 800-63B"), ("overrideSpecial", "a", "NIST SP 800-63B"))),
    ("random:index/randomBytes:RandomBytes", (("length", 1, "NIST SP 800-57"),)),
)  # fmt: skip

_BOX = "spec/template/spec/containers/0"
_POD = "spec/template/spec"
_KUBERNETES: tuple[tuple[str, tuple[tuple[Any, ...], ...]], ...] = (
    ("kubernetes:apps/v1:Deployment", (
        (f"{_POD}/hostNetwork", True, "CKV_K8S_19"), (f"{_POD}/hostPID", True, "CKV_K8S_17"),
        (f"{_POD}/hostIPC", True, "CKV_K8S_18"), (f"{_POD}/hostUsers", True, "PSS"),
        (f"{_POD}/automountServiceAccountToken", True, "CKV_K8S_38"), (f"{_POD}/shareProcessNamespace", True, "kube-score"),
        (f"{_POD}/serviceAccountName", "default", "CIS EKS 4.1.5"), (f"{_POD}/securityContext", GONE, "CKV_K8S_29"),
        (f"{_POD}/securityContext/runAsUser", 0, "CKV_K8S_40"), (f"{_POD}/securityContext/seccompProfile", {"type": "Unconfined"}, "CKV_K8S_31"),
        (f"{_POD}/securityContext/sysctls", [{"name": "kernel.shm_rmid_forced", "value": "1"}], "PSS"),
        (f"{_POD}/volumes/0", {"name": "v", "hostPath": {"path": "/"}}, "CKV_K8S_26"),
        (f"{_POD}/topologySpreadConstraints", GONE, "kube-score"), (f"{_POD}/terminationGracePeriodSeconds", 1, "EKS Best Practices"),
        (f"{_POD}/dnsPolicy", "Default", "PSS"), (f"{_POD}/hostAliases", [{"ip": "1.2.3.4", "hostnames": ["db"]}], "SEC05-BP02"),
        (f"{_BOX}/securityContext/privileged", True, "CKV_K8S_16"), (f"{_BOX}/securityContext/runAsUser", 0, "CKV_K8S_40"),
        (f"{_BOX}/securityContext/allowPrivilegeEscalation", True, "CKV_K8S_20"),
        (f"{_BOX}/securityContext/readOnlyRootFilesystem", False, "CKV_K8S_22"),
        (f"{_BOX}/securityContext/capabilities", {"add": ["SYS_ADMIN"]}, "CKV_K8S_39"),
        (f"{_BOX}/securityContext/procMount", "Unmasked", "PSS"), (f"{_BOX}/securityContext/seccompProfile", {"type": "Unconfined"}, "CKV_K8S_31"),
        (f"{_BOX}/securityContext/runAsNonRoot", False, "CKV_K8S_23"), (f"{_BOX}/securityContext", GONE, "CKV_K8S_30"),
        (f"{_BOX}/resources", GONE, "CKV_K8S_10"), (f"{_BOX}/resources/limits", GONE, "CKV_K8S_13"),
        (f"{_BOX}/image", "nginx:latest", "CKV_K8S_14"), (f"{_BOX}/imagePullPolicy", "Never", "CKV_K8S_15", "", "an image by digest is the same wherever it is"),
        (f"{_BOX}/readinessProbe", GONE, "CKV_K8S_9"), (f"{_BOX}/livenessProbe", GONE, "CKV_K8S_8"),
        (f"{_BOX}/ports/0/hostPort", 80, "CKV_K8S_26"), (f"{_BOX}/env", [{"name": "PASSWORD", "value": "hunter2"}], "CKV_K8S_35"),
        (f"{_BOX}/envFrom", [{"secretRef": {"name": "x"}}], "CKV_K8S_35"), (f"{_BOX}/args", ["--password=hunter2"], "CKV_K8S_35"),
        (f"{_BOX}/command", ["sh", "-c", "curl http://evil"], "SEC06-BP01"), (f"{_BOX}/lifecycle", GONE, "EKS Best Practices"),
        ("spec/strategy", {"type": "Recreate"}, "kube-score"), ("spec/replicas", 1, "HPA docs", "hal9-server"),
        (f"{_POD}/initContainers", [{"name": "i", "image": "x:1", "securityContext": {"privileged": True}}], "CKV_K8S_16"),
        ("spec/template/metadata/annotations/sidecar.istio.io~inject", "false", "Istio security", "deployment-hal9-hal9-server"),
        ("spec/template/metadata/labels/sidecar.istio.io~inject", "false", "Istio security", "deployment-hal9-hal9-server"),
        ("spec/template/metadata/annotations/traffic.sidecar.istio.io~excludeOutboundPorts", "9000", "Istio security", "deployment-hal9-hal9-server"),
    )),
    ("kubernetes:batch/v1:Job", (
        (f"{_BOX}/securityContext/privileged", True, "CKV_K8S_16"), (f"{_POD}/hostNetwork", True, "CKV_K8S_19"),
        (f"{_BOX}/env", [{"name": "PGPASSWORD", "value": "hunter2"}], "CKV_K8S_35"),
        (f"{_POD}/serviceAccountName", "default", "CIS EKS 4.1.5"),
    )),
    ("kubernetes:autoscaling/v2:HorizontalPodAutoscaler", (
        ("spec/minReplicas", 1, "REL11-BP05"), ("spec/maxReplicas", 10000, "REL01-BP01"), ("spec/metrics", [], "HPA docs"),
    )),
    ("kubernetes:core/v1:ConfigMap", (("data/extra", "postgres://hal9:hunter2@db/hal9", "CKV_SECRET_4", "dashboard"), ("data/key", "-----BEGIN PRIVATE KEY-----", "CKV_SECRET_13", "dashboard"))),
    ("kubernetes:core/v1:Namespace", (
        ("metadata/labels/pod-security.kubernetes.io~enforce", "privileged", "PSS", "hal9"),
        ("metadata/labels/istio-injection", "disabled", "Istio security", "namespace-hal9"),
    )),
    ("kubernetes:core/v1:Secret", (("stringData", {"password": "hunter2"}, "CKV_K8S_35"), ("data", {"password": "aHVudGVyMg=="}, "CKV_K8S_35"))),
    ("kubernetes:core/v1:Service", (
        ("spec/type", "LoadBalancer", "kube-score"), ("spec/type", "NodePort", "kube-score"),
        ("spec/externalIPs", ["1.2.3.4"], "CVE-2020-8554"), ("spec/externalName", "elsewhere.eu", "SEC05-BP01"),
    )),
    ("kubernetes:core/v1:ServiceAccount", (
        ("automountServiceAccountToken", True, "CKV_K8S_38"),
        ("metadata/annotations/eks.amazonaws.com~role-arn", _FOREIGN.replace("root", "role/x"), "SEC03-BP07"),
    )),
    ("kubernetes:helm.sh/v3:Release", (
        ("version", GONE, "CIS EKS 5.1"), ("repositoryOpts/repo", "https://charts.elsewhere.eu", "SEC06-BP01"),
        ("values/hostNetwork", True, "CKV_K8S_19"), ("values/adminPassword", "hunter2", "CKV_K8S_35"),
        ("values/securityContext", {"privileged": True}, "CKV_K8S_16"), ("values/service", {"type": "LoadBalancer"}, "kube-score"),
        ("values/image", {"repository": "elsewhere.eu/x"}, "SEC06-BP01"), ("valueYamlFiles", [{"path": "x"}], "SEC06-BP01"),
        ("values/extraArgs", ["--token=hunter2"], "CKV_K8S_35"), ("set", [{"name": "hostNetwork", "value": "true"}], "CKV_K8S_19"),
        ("values/env", [{"name": "TOKEN", "value": "hunter2"}], "CKV_K8S_35"), ("verify", False, "SEC06-BP01"),
        ("postrender", "curl evil", "SEC06-BP01"), ("chart", "https://elsewhere.eu/x.tgz", "SEC06-BP01"),
    )),
    ("kubernetes:networking.istio.io/v1:DestinationRule", (
        ("spec/trafficPolicy/tls/mode", "DISABLE", "Istio security"), ("spec/trafficPolicy/tls/mode", "SIMPLE", "Istio security"),
        ("spec/trafficPolicy/portLevelSettings", [{"port": {"number": 8000}, "tls": {"mode": "DISABLE"}}], "Istio security"),
        ("spec/subsets", [{"name": "a", "trafficPolicy": {"tls": {"mode": "DISABLE"}}}], "Istio security"),
        ("spec/host", "*.local", "Istio, traffic management"), ("spec/trafficPolicy/outlierDetection", GONE, "Istio locality"),
    )),
    ("kubernetes:networking.istio.io/v1:Gateway", (
        ("spec/servers/0/tls/mode", "SIMPLE", "Istio security"), ("spec/servers/0/hosts", ["*"], "Istio security"),
        ("spec/servers/0/port/protocol", "HTTP", "Istio security"),
    )),
    ("kubernetes:networking.istio.io/v1:VirtualService", (
        ("spec/http/0/route/0/destination/host", "elsewhere.eu", "SEC05-BP01"), ("spec/http/0/mirror", {"host": "elsewhere.eu"}, "SEC05-BP01"),
        ("spec/http/0/corsPolicy", {"allowOrigins": [{"regex": ".*"}], "allowCredentials": True}, "OWASP, CORS"),
    )),
    ("kubernetes:networking.istio.io/v1:WorkloadEntry", (("spec/address", "elsewhere.eu", "SEC05-BP01"), ("spec/serviceAccount", "other", "Istio security"))),
    ("kubernetes:networking.k8s.io/v1:NetworkPolicy", (
        ("spec/policyTypes", ["Ingress"], "CIS EKS 4.3.2", "default-deny"), ("spec/ingress", [{}], "CIS EKS 4.3.2", "hal9-server"),
        ("spec/egress", [{}], "CIS EKS 4.3.2", "hal9-server"), ("spec/podSelector", {"matchLabels": {"a": "b"}}, "CIS EKS 4.3.2", "default-deny"),
        ("spec/ingress", [{"from": [{"namespaceSelector": {}}]}], "CIS EKS 4.3.2", "hal9-server"),
        ("spec/egress", [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}], "CIS EKS 4.3.2", "hal9-server"),
    )),
    ("kubernetes:policy/v1:PodDisruptionBudget", (
        ("spec/maxUnavailable", "100%", "Polaris"), ("spec/unhealthyPodEvictionPolicy", GONE, "Polaris"),
        ("spec/selector", {"matchLabels": {"a": "b"}}, "kube-score"),
    )),
    ("kubernetes:security.istio.io/v1:AuthorizationPolicy", (
        ("spec/rules", [{}], "Istio security", "hal9-server"), ("spec/action", "AUDIT", "Istio security", "hal9-server"),
        ("spec/rules/0/from/0/source/principals", ["*"], "Istio security", "hal9-server"),
        ("spec/rules/0/from", GONE, "Istio security", "hal9-server"), ("spec/selector", {"matchLabels": {"a": "b"}}, "Istio security", "hal9-server", "under the default deny it admits nobody anywhere"),
        ("spec/rules/0/from/0/source", {"namespaces": ["*"]}, "Istio security", "hal9-server"),
        ("spec/rules/0/from/0/source", {"notPrincipals": ["x"]}, "Istio security", "hal9-server"),
    )),
    ("kubernetes:security.istio.io/v1:PeerAuthentication", (
        ("spec/mtls/mode", "PERMISSIVE", "Istio security"), ("spec/mtls/mode", "DISABLE", "Istio security"),
        ("spec/portLevelMtls", {"8000": {"mode": "DISABLE"}}, "Istio security"), ("spec/selector", {"matchLabels": {"a": "b"}}, "Istio security"),
    )),
    ("kubernetes:storage.k8s.io/v1:StorageClass", (("parameters/encrypted", "false", "CKV_AWS_3"), ("provisioner", "kubernetes.io/aws-ebs", "EKS 1.30 notes"))),
    ("kubernetes:scheduling.k8s.io/v1:PriorityClass", (("globalDefault", True, "kube-score"), ("value", 1000000000, "kube-score", "", "who goes first where there is no room; tests/control places and evicts"))),
    ("kubernetes:secrets-store.csi.x-k8s.io/v1:SecretProviderClass", (("spec/provider", "vault", "SEC08-BP01"), ("spec/secretObjects", [{"secretName": "x", "type": "Opaque"}], "CKV_K8S_35"))),
    ("kubernetes:elbv2.k8s.aws/v1beta1:TargetGroupBinding", (("spec/networking", {"ingress": [{"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]}, "SEC05-BP02"),)),
)  # fmt: skip

WEAKENINGS = tuple(row for token, rows in (*_AWS, *_KUBERNETES) for row in _rows(token, *rows))
"""Every row, type by type."""
