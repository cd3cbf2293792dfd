"""The weakest values of AWS's resources and of the keys and passwords made for them."""

from __future__ import annotations

from policies.weakest.weakening import GONE, Rows

_FOREIGN = "arn:aws:iam::814702239655:root"
_OPEN = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}]}'
)

ROWS: Rows = (
    (
        "aws:rds/instance:Instance",
        (
            ("publiclyAccessible", True, "CKV_AWS_17"),
            ("storageEncrypted", False, "CKV_AWS_16"),
            ("deletionProtection", False, "CKV_AWS_293"),
            ("multiAz", False, "CKV_AWS_157", "shard-0-us-west"),
            ("backupRetentionPeriod", 0, "CKV_AWS_133"),
            ("autoMinorVersionUpgrade", False, "CKV_AWS_226"),
            ("enabledCloudwatchLogsExports", [], "CKV_AWS_129"),
            ("monitoringInterval", 0, "CKV_AWS_118"),
            ("performanceInsightsEnabled", False, "CKV_AWS_353"),
            ("performanceInsightsKmsKeyId", GONE, "CKV_AWS_354"),
            ("copyTagsToSnapshot", False, "CKV2_AWS_60"),
            ("iamDatabaseAuthenticationEnabled", False, "CKV_AWS_161"),
            ("kmsKeyId", GONE, "CKV_AWS_16"),
            ("skipFinalSnapshot", True, "REL09-BP02", "shard-0-us-west"),
            ("deleteAutomatedBackups", True, "REL09-BP02"),
            ("vpcSecurityGroupIds", GONE, "SEC05-BP02"),
            ("parameterGroupName", GONE, "CKV2_AWS_69"),
            ("dbSubnetGroupName", GONE, "CKV_AWS_17"),
            ("password", "hunter2", "CKV_SECRET_6", "shard-0-us-west"),
            ("caCertIdentifier", "rds-ca-2019", "CKV_AWS_211"),
            ("engineVersion", "12.1", "RDS User Guide, end of support", "shard-0-us-west"),
            ("port", 5433, "RDS.23", "", "another port is refused by the groups, whose rules name 5432"),
            ("storageType", "standard", "RDS User Guide, previous generation"),
            ("protect", False, "REL09-BP02"),
            ("customIamInstanceProfile", "x", "SEC03-BP02"),
            ("networkType", "DUAL", "SEC05-BP02"),
        ),
    ),
    (
        "aws:rds/parameterGroup:ParameterGroup",
        (
            ("parameters/0/value", "0", "CKV2_AWS_69"),
            ("parameters", [], "CKV2_AWS_30"),
        ),
    ),
    (
        "aws:rds/instanceAutomatedBackupsReplication:InstanceAutomatedBackupsReplication",
        (
            ("retentionPeriod", 1, "REL09-BP04"),
            ("kmsKeyId", GONE, "CKV_AWS_245"),
        ),
    ),
    (
        "aws:rds/eventSubscription:EventSubscription",
        (
            ("enabled", False, "RDS.19"),
            ("eventCategories", ["creation"], "RDS.19"),
        ),
    ),
    (
        "aws:elasticache/replicationGroup:ReplicationGroup",
        (
            ("transitEncryptionEnabled", False, "CKV_AWS_30"),
            ("atRestEncryptionEnabled", False, "CKV_AWS_29"),
            ("authToken", GONE, "CKV_AWS_31", "cache"),
            ("kmsKeyId", GONE, "CKV_AWS_191"),
            ("automaticFailoverEnabled", False, "CKV2_AWS_50"),
            ("multiAzEnabled", False, "CKV2_AWS_50"),
            ("snapshotRetentionLimit", 0, "CKV_AWS_134", "cache"),
            ("transitEncryptionMode", "preferred", "CKV_AWS_30"),
            ("securityGroupIds", [], "SEC05-BP02"),
            ("authToken", "hunter2hunter2hunter2", "CKV_SECRET_6"),
            ("autoMinorVersionUpgrade", False, "ElastiCache.2"),
            ("subnetGroupName", GONE, "ElastiCache.7"),
            ("replicasPerNodeGroup", 0, "CKV2_AWS_50", "cache"),
            ("userGroupIds", ["everybody"], "SEC03-BP02"),
            ("engineVersion", "5.0.6", "ElastiCache.6", "cache"),
        ),
    ),
    (
        "aws:kms/key:Key",
        (
            ("enableKeyRotation", False, "CKV_AWS_7"),
            ("policy", _OPEN, "CKV_AWS_33"),
            ("policy", GONE, "CKV2_AWS_64"),
            ("deletionWindowInDays", 7, "KMS.3", "", "AWS's own minimum, and what dev has; the keys are protected"),
            ("isEnabled", False, "CKV_AWS_227"),
            ("bypassPolicyLockoutSafetyCheck", True, "KMS API"),
            ("protect", False, "KMS.3"),
        ),
    ),
    (
        "aws:secretsmanager/secret:Secret",
        (
            ("kmsKeyId", GONE, "CKV_AWS_149"),
            ("recoveryWindowInDays", 0, "SecretsManager.4"),
            ("policy", _OPEN, "CKV_AWS_149"),
            ("replicas", [{"region": "us-east-1"}], "SEC08-BP01"),
        ),
    ),
    ("aws:secretsmanager/secretVersion:SecretVersion", (("secretString", "hunter2", "CKV_SECRET_6"),)),
    (
        "aws:cloudwatch/logGroup:LogGroup",
        (
            ("kmsKeyId", GONE, "CKV_AWS_158"),
            ("retentionInDays", GONE, "CKV_AWS_66"),
            ("retentionInDays", 1, "CKV_AWS_338"),
        ),
    ),
    (
        "aws:cloudwatch/metricAlarm:MetricAlarm",
        (
            ("alarmActions", [], "CloudWatch.15"),
            ("actionsEnabled", False, "CKV_AWS_319"),
            ("threshold", 1e12, "REL06-BP02", "", "what a threshold should be is its component's test's to say"),
            ("evaluationPeriods", 1000, "REL06-BP02"),
            ("treatMissingData", "ignore", "REL06-BP02"),
        ),
    ),
    (
        "aws:ecr/repository:Repository",
        (
            ("imageTagMutability", "MUTABLE", "CKV_AWS_51"),
            ("imageScanningConfiguration/scanOnPush", False, "CKV_AWS_163"),
            ("encryptionConfigurations", GONE, "CKV_AWS_136"),
            ("forceDelete", True, "ECR API"),
        ),
    ),
    (
        "aws:ecr/replicationConfiguration:ReplicationConfiguration",
        (("replicationConfiguration/rules/0/destinations/0/registryId", "814702239655", "SEC03-BP07"),),
    ),
    (
        "aws:sns/topic:Topic",
        (
            ("kmsMasterKeyId", GONE, "CKV_AWS_26"),
            ("policy", _OPEN, "CKV_AWS_169"),
            ("httpFailureFeedbackRoleArn", _FOREIGN.replace("root", "role/x"), "SEC03-BP07"),
        ),
    ),
    ("aws:sns/topicPolicy:TopicPolicy", (("policy", _OPEN, "CKV_AWS_169"),)),
    (
        "aws:sns/topicSubscription:TopicSubscription",
        (
            ("endpoint", "someone@elsewhere.eu", "SEC03-BP07"),
            ("protocol", "http", "SNS.4"),
        ),
    ),
    (
        "aws:iam/role:Role",
        (
            ("assumeRolePolicy", _OPEN, "CKV_AWS_60"),
            ("managedPolicyArns", ["arn:aws:iam::aws:policy/AdministratorAccess"], "CKV_AWS_274"),
            ("inlinePolicies", [{"name": "a", "policy": _OPEN}], "CKV_AWS_355"),
            ("maxSessionDuration", 43200, "IAM User Guide"),
        ),
    ),
    ("aws:iam/rolePolicy:RolePolicy", (("policy", _OPEN.replace('"Principal": "*", ', ""), "CKV_AWS_355"),)),
    (
        "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
        (
            ("policyArn", "arn:aws:iam::aws:policy/AdministratorAccess", "CKV_AWS_274"),
            ("policyArn", "arn:aws:iam::aws:policy/PowerUserAccess", "CKV_AWS_274"),
            ("policyArn", "arn:aws:iam::814702239655:policy/theirs", "SEC03-BP07"),
        ),
    ),
    (
        "aws:eks/cluster:Cluster",
        (
            ("vpcConfig/endpointPublicAccess", True, "CKV_AWS_39"),
            (
                "vpcConfig/publicAccessCidrs",
                ["0.0.0.0/0"],
                "CKV_AWS_38",
                "",
                "nothing listens: with endpointPublicAccess it is caught",
            ),
            ("vpcConfig/endpointPrivateAccess", False, "EKS Best Practices"),
            ("enabledClusterLogTypes", [], "CKV_AWS_37"),
            ("encryptionConfig", GONE, "CKV_AWS_58"),
            ("version", "1.24", "CKV_AWS_339"),
            ("accessConfig/authenticationMode", "CONFIG_MAP", "EKS Best Practices"),
            ("accessConfig/bootstrapClusterCreatorAdminPermissions", True, "EKS Best Practices"),
            ("deletionProtection", False, "REL09-BP02"),
            ("vpcConfig/securityGroupIds", ["sg-1"], "SEC05-BP02"),
            ("zonalShiftConfig", GONE, "REL10-BP01"),
            ("upgradePolicy/supportType", "EXTENDED", "EKS User Guide"),
            ("remoteNetworkConfig", {"remoteNodeNetworks": {"cidrs": ["0.0.0.0/1"]}}, "SEC05-BP02"),
        ),
    ),
    (
        "aws:eks/nodeGroup:NodeGroup",
        (
            ("remoteAccess", {"ec2SshKey": "k"}, "CKV_AWS_100"),
            ("scalingConfig/minSize", 0, "EKS Best Practices", "on-demand"),
            ("capacityType", "SPOT", "EKS Best Practices", "on-demand"),
            ("launchTemplate", GONE, "CKV_AWS_341"),
            ("instanceTypes", ["m6i.2xlarge"], "EKS Best Practices", "spot"),
            ("updateConfig", {"maxUnavailablePercentage": 100}, "REL05-BP01"),
            ("version", "1.24", "CKV_AWS_339"),
            ("forceUpdateVersion", True, "EKS User Guide"),
        ),
    ),
    (
        "aws:eks/accessEntry:AccessEntry",
        (
            ("principalArn", _FOREIGN, "CIS EKS 5.5.1"),
            ("kubernetesGroups", ["system:masters"], "CIS EKS 4.1.7"),
        ),
    ),
    (
        "aws:eks/accessPolicyAssociation:AccessPolicyAssociation",
        (("principalArn", _FOREIGN.replace("root", "role/x"), "CIS EKS 5.5.1"),),
    ),
    (
        "aws:eks/podIdentityAssociation:PodIdentityAssociation",
        (
            ("serviceAccount", "default", "CIS EKS 4.1.5"),
            ("targetRoleArn", _FOREIGN.replace("root", "role/x"), "SEC03-BP07"),
            ("disableSessionTags", True, "EKS User Guide"),
        ),
    ),
    (
        "aws:eks/addon:Addon",
        (
            ("addonVersion", GONE, "EKS User Guide"),
            ("serviceAccountRoleArn", _FOREIGN.replace("root", "role/x"), "SEC03-BP07"),
        ),
    ),
    (
        "aws:ec2/launchTemplate:LaunchTemplate",
        (
            ("metadataOptions/httpTokens", "optional", "CKV_AWS_79"),
            ("metadataOptions/httpPutResponseHopLimit", 2, "CKV_AWS_341"),
            ("metadataOptions", GONE, "CKV_AWS_79"),
            ("blockDeviceMappings/0/ebs/encrypted", False, "CKV_AWS_8"),
            ("networkInterfaces", [{"associatePublicIpAddress": "true"}], "CKV_AWS_88"),
            ("keyName", "k", "EC2.184"),
            ("userData", "Y3VybCBldmls", "EC2 User Guide"),
            ("iamInstanceProfile", {"name": "admin"}, "SEC03-BP02"),
            ("imageId", "ami-1", "SEC06-BP01"),
            ("vpcSecurityGroupIds", ["sg-1"], "SEC05-BP02"),
            (
                "metadataOptions/instanceMetadataTags",
                "enabled",
                "EC2 User Guide",
                "",
                "the tags say who owns what, and no secret",
            ),
        ),
    ),
    (
        "aws:ec2/subnet:Subnet",
        (
            ("mapPublicIpOnLaunch", True, "CKV_AWS_130"),
            ("assignIpv6AddressOnCreation", True, "SEC05-BP02"),
            ("ipv6CidrBlock", "2600::/64", "SEC05-BP02"),
        ),
    ),
    (
        "aws:ec2/vpc:Vpc",
        (
            ("assignGeneratedIpv6CidrBlock", True, "SEC05-BP02"),
            ("cidrBlock", "10.1.0.0/16", "VPC User Guide", "us-west"),
            ("enableDnsSupport", False, "VPC User Guide"),
            ("protect", False, "REL09-BP02"),
        ),
    ),
    (
        "aws:ec2/flowLog:FlowLog",
        (("trafficType", "REJECT", "CKV2_AWS_11"), ("logDestination", "arn:aws:s3:::theirs", "SEC04-BP01")),
    ),
    (
        "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup",
        (
            ("ingress", [{"protocol": "-1", "fromPort": 0, "toPort": 0, "cidrBlocks": ["0.0.0.0/0"]}], "CKV2_AWS_12"),
            ("egress", [{"protocol": "-1", "fromPort": 0, "toPort": 0, "cidrBlocks": ["0.0.0.0/0"]}], "CKV2_AWS_12"),
        ),
    ),
    (
        "aws:ec2/securityGroup:SecurityGroup",
        (
            ("ingress", [{"protocol": "tcp", "fromPort": 22, "toPort": 22, "cidrBlocks": ["0.0.0.0/0"]}], "CKV_AWS_24"),
            ("egress", [{"protocol": "-1", "fromPort": 0, "toPort": 0, "cidrBlocks": ["0.0.0.0/0"]}], "CKV_AWS_382"),
        ),
    ),
    (
        "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
        (
            ("cidrIpv4", "0.0.0.0/0", "CKV_AWS_24"),
            ("cidrIpv4", "0.0.0.0/1", "CKV_AWS_24"),
            ("cidrIpv6", "::/0", "CKV_AWS_24"),
            ("prefixListId", "pl-1", "SEC05-BP02"),
            ("referencedSecurityGroupId", "814702239655/sg-1", "SEC05-BP02"),
            ("ipProtocol", "-1", "SEC05-BP02", "database"),
            ("toPort", 65535, "SEC05-BP02", "database"),
            ("fromPort", 0, "SEC05-BP02", "database"),
            ("ipProtocol", "-1", "SEC05-BP02", "public"),
        ),
    ),
    (
        "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
        (
            ("cidrIpv4", "0.0.0.0/0", "CKV_AWS_382", "database"),
            ("ipProtocol", "-1", "CKV_AWS_382", "database"),
            ("cidrIpv6", "::/0", "CKV_AWS_382", "database"),
            ("prefixListId", "pl-1", "CKV_AWS_382", "database"),
        ),
    ),
    (
        "aws:ec2/route:Route",
        (
            ("destinationCidrBlock", "0.0.0.0/0", "CKV2_AWS_44", "data"),
            ("gatewayId", "igw-1", "CKV2_AWS_44", "data"),
            ("vpcEndpointId", "vpce-1", "SEC05-BP01", "data"),
        ),
    ),
    (
        "aws:ec2/vpcEndpoint:VpcEndpoint",
        (
            ("policy", _OPEN, "SEC05-BP02"),
            ("serviceName", "com.amazonaws.vpce.us-west-2.vpce-svc-1", "SEC05-BP02"),
            ("securityGroupIds", [], "SEC05-BP02"),
            ("privateDnsEnabled", False, "VPC User Guide", "ecr"),
        ),
    ),
    (
        "aws:ec2/vpcPeeringConnection:VpcPeeringConnection",
        (
            ("peerOwnerId", "814702239655", "SEC05-BP01"),
            ("peerVpcId", "vpc-1", "SEC05-BP01"),
        ),
    ),
    (
        "aws:ec2/routeTable:RouteTable",
        (("routes", [{"cidrBlock": "0.0.0.0/0", "gatewayId": "igw-1"}], "CKV2_AWS_44", "data"),),
    ),
    (
        "aws:lb/listener:Listener",
        (
            ("sslPolicy", "ELBSecurityPolicy-2016-08", "CKV_AWS_103", "public"),
            ("protocol", "TCP", "CKV_AWS_2", "public"),
            ("port", 80, "CKV_AWS_2", "public"),
            ("certificateArn", GONE, "CKV_AWS_2", "public"),
        ),
    ),
    (
        "aws:lb/loadBalancer:LoadBalancer",
        (
            ("internal", False, "ELB User Guide", "internal"),
            ("enableDeletionProtection", False, "CKV_AWS_150"),
            ("securityGroups", [], "SEC05-BP02"),
            ("ipAddressType", "dualstack", "SEC05-BP02"),
        ),
    ),
    (
        "aws:lb/targetGroup:TargetGroup",
        (("protocol", "UDP", "CKV_AWS_378"), ("healthCheck/enabled", False, "CKV_AWS_261")),
    ),
    (
        "aws:cloudfront/distribution:Distribution",
        (
            ("webAclId", GONE, "CKV_AWS_68"),
            ("viewerCertificate/minimumProtocolVersion", "TLSv1", "CKV_AWS_174"),
            ("viewerCertificate", {"cloudfrontDefaultCertificate": True}, "CKV2_AWS_42"),
            ("defaultCacheBehavior/viewerProtocolPolicy", "allow-all", "CKV_AWS_34"),
            ("defaultCacheBehavior/responseHeadersPolicyId", GONE, "CKV2_AWS_32"),
            ("orderedCacheBehaviors/0/viewerProtocolPolicy", "allow-all", "CKV_AWS_34"),
            ("orderedCacheBehaviors/0/responseHeadersPolicyId", GONE, "CKV2_AWS_32"),
            ("origins/0/customOriginConfig/originProtocolPolicy", "http-only", "CloudFront.10"),
            ("origins/0/customOriginConfig/originSslProtocols", ["TLSv1"], "CloudFront.10"),
            ("origins/0/customHeaders", [], "CloudFront Developer Guide"),
            ("origins/0/domainName", "elsewhere.eu", "SEC05-BP01"),
            (
                "defaultCacheBehavior/functionAssociations",
                [{"eventType": "viewer-request", "functionArn": "arn:x"}],
                "SEC06-BP01",
            ),
            ("enabled", False, "CloudFront Developer Guide"),
            ("aliases", [], "CloudFront Developer Guide"),
        ),
    ),
    (
        "aws:cloudfront/responseHeadersPolicy:ResponseHeadersPolicy",
        (
            ("securityHeadersConfig/strictTransportSecurity", GONE, "CKV_AWS_259"),
            ("securityHeadersConfig/strictTransportSecurity/accessControlMaxAgeSec", 1, "CKV_AWS_259"),
            (
                "corsConfig",
                {"accessControlAllowOrigins": {"items": ["*"]}, "accessControlAllowCredentials": True},
                "OWASP, CORS",
            ),
        ),
    ),
    (
        "aws:cloudfront/cachePolicy:CachePolicy",
        (
            (
                "parametersInCacheKeyAndForwardedToOrigin/headersConfig",
                {"headerBehavior": "none"},
                "CloudFront Developer Guide",
                "private",
            ),
            ("minTtl", 86400, "CloudFront Developer Guide", "private"),
        ),
    ),
    (
        "aws:wafv2/webAcl:WebAcl",
        (
            ("defaultAction", {"block": {}}, "REL05-BP02"),
            ("rules", [], "CKV2_AWS_31"),
            ("visibilityConfig/cloudwatchMetricsEnabled", False, "WAF Developer Guide"),
            ("rules/1/action", {"count": {}}, "WAF Developer Guide"),
            ("rules/3/overrideAction", {"count": {}}, "WAF Developer Guide"),
        ),
    ),
    (
        "aws:wafv2/webAclLoggingConfiguration:WebAclLoggingConfiguration",
        (
            ("loggingFilter", {"defaultBehavior": "DROP", "filters": []}, "CKV2_AWS_31"),
            ("redactedFields", [], "WAF Developer Guide"),
        ),
    ),
    (
        "aws:route53/record:Record",
        (
            ("records", ["elsewhere.eu"], "SEC05-BP01", "origin-"),
            ("aliases", [{"name": "elsewhere.eu", "zoneId": "Z1"}], "SEC05-BP01", "origin-"),
            ("healthCheckId", GONE, "REL13-BP05", "origin-"),
        ),
    ),
    (
        "aws:route53/healthCheck:HealthCheck",
        (
            ("disabled", True, "REL13-BP05"),
            ("invertHealthcheck", True, "REL13-BP05"),
            ("type", "HTTP", "REL13-BP05"),
        ),
    ),
    ("aws:route53/zone:Zone", (("forceDestroy", True, "REL09-BP02"), ("protect", False, "REL09-BP02"))),
    (
        "aws:acm/certificate:Certificate",
        (
            ("validationMethod", "EMAIL", "ACM User Guide"),
            ("keyAlgorithm", "RSA_1024", "ACM.2"),
            ("options", {"certificateTransparencyLoggingPreference": "DISABLED"}, "CKV_AWS_234"),
        ),
    ),
    (
        "tls:index/privateKey:PrivateKey",
        (("algorithm", "RSA", "NIST SP 800-57"), ("ecdsaCurve", "P224", "NIST SP 800-57")),
    ),
    (
        "random:index/randomPassword:RandomPassword",
        (("length", 4, "NIST SP 800-63B"), ("overrideSpecial", "a", "NIST SP 800-63B")),
    ),
    ("random:index/randomBytes:RandomBytes", (("length", 1, "NIST SP 800-57"),)),
)
