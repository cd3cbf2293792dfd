"""The weakest values of what runs in the clusters."""

from __future__ import annotations

from policies.weakest.weakening import GONE, Rows

_BOX = "spec/template/spec/containers/0"
_POD = "spec/template/spec"
ROWS: Rows = (
    (
        "kubernetes:apps/v1:Deployment",
        (
            (f"{_POD}/hostNetwork", True, "CKV_K8S_19"),
            (f"{_POD}/hostPID", True, "CKV_K8S_17"),
            (f"{_POD}/hostIPC", True, "CKV_K8S_18"),
            (f"{_POD}/hostUsers", True, "PSS"),
            (f"{_POD}/automountServiceAccountToken", True, "CKV_K8S_38"),
            (f"{_POD}/shareProcessNamespace", True, "kube-score"),
            (f"{_POD}/serviceAccountName", "default", "CIS EKS 4.1.5"),
            (f"{_POD}/securityContext", GONE, "CKV_K8S_29"),
            (f"{_POD}/securityContext/runAsUser", 0, "CKV_K8S_40"),
            (f"{_POD}/securityContext/seccompProfile", {"type": "Unconfined"}, "CKV_K8S_31"),
            (f"{_POD}/securityContext/sysctls", [{"name": "kernel.shm_rmid_forced", "value": "1"}], "PSS"),
            (f"{_POD}/volumes/0", {"name": "v", "hostPath": {"path": "/"}}, "CKV_K8S_26"),
            (f"{_POD}/topologySpreadConstraints", GONE, "kube-score"),
            (f"{_POD}/terminationGracePeriodSeconds", 1, "EKS Best Practices"),
            (f"{_POD}/dnsPolicy", "Default", "PSS"),
            (f"{_POD}/hostAliases", [{"ip": "1.2.3.4", "hostnames": ["db"]}], "SEC05-BP02"),
            (f"{_BOX}/securityContext/privileged", True, "CKV_K8S_16"),
            (f"{_BOX}/securityContext/runAsUser", 0, "CKV_K8S_40"),
            (f"{_BOX}/securityContext/allowPrivilegeEscalation", True, "CKV_K8S_20"),
            (f"{_BOX}/securityContext/readOnlyRootFilesystem", False, "CKV_K8S_22"),
            (f"{_BOX}/securityContext/capabilities", {"add": ["SYS_ADMIN"]}, "CKV_K8S_39"),
            (f"{_BOX}/securityContext/procMount", "Unmasked", "PSS"),
            (f"{_BOX}/securityContext/seccompProfile", {"type": "Unconfined"}, "CKV_K8S_31"),
            (f"{_BOX}/securityContext/runAsNonRoot", False, "CKV_K8S_23"),
            (f"{_BOX}/securityContext", GONE, "CKV_K8S_30"),
            (f"{_BOX}/resources", GONE, "CKV_K8S_10"),
            (f"{_BOX}/resources/limits", GONE, "CKV_K8S_13"),
            (f"{_BOX}/image", "nginx:latest", "CKV_K8S_14"),
            (f"{_BOX}/imagePullPolicy", "Never", "CKV_K8S_15", "", "an image by digest is the same wherever it is"),
            (f"{_BOX}/readinessProbe", GONE, "CKV_K8S_9"),
            (f"{_BOX}/livenessProbe", GONE, "CKV_K8S_8"),
            (f"{_BOX}/ports/0/hostPort", 80, "CKV_K8S_26"),
            (f"{_BOX}/env", [{"name": "PASSWORD", "value": "hunter2"}], "CKV_K8S_35"),
            (f"{_BOX}/envFrom", [{"secretRef": {"name": "x"}}], "CKV_K8S_35"),
            (f"{_BOX}/args", ["--password=hunter2"], "CKV_K8S_35"),
            (f"{_BOX}/command", ["sh", "-c", "curl http://evil"], "SEC06-BP01"),
            (f"{_BOX}/lifecycle", GONE, "EKS Best Practices"),
            ("spec/strategy", {"type": "Recreate"}, "kube-score"),
            ("spec/replicas", 1, "HPA docs", "hal9-server"),
            (
                f"{_POD}/initContainers",
                [{"name": "i", "image": "x:1", "securityContext": {"privileged": True}}],
                "CKV_K8S_16",
            ),
            (
                "spec/template/metadata/annotations/sidecar.istio.io~inject",
                "false",
                "Istio security",
                "deployment-hal9-hal9-server",
            ),
            (
                "spec/template/metadata/labels/sidecar.istio.io~inject",
                "false",
                "Istio security",
                "deployment-hal9-hal9-server",
            ),
            (
                "spec/template/metadata/annotations/traffic.sidecar.istio.io~excludeOutboundPorts",
                "9000",
                "Istio security",
                "deployment-hal9-hal9-server",
            ),
        ),
    ),
    (
        "kubernetes:batch/v1:Job",
        (
            (f"{_BOX}/securityContext/privileged", True, "CKV_K8S_16"),
            (f"{_POD}/hostNetwork", True, "CKV_K8S_19"),
            (f"{_BOX}/env", [{"name": "PGPASSWORD", "value": "hunter2"}], "CKV_K8S_35"),
            (f"{_POD}/serviceAccountName", "default", "CIS EKS 4.1.5"),
        ),
    ),
    (
        "kubernetes:autoscaling/v2:HorizontalPodAutoscaler",
        (
            ("spec/minReplicas", 1, "REL11-BP05"),
            ("spec/maxReplicas", 10000, "REL01-BP01"),
            ("spec/metrics", [], "HPA docs"),
        ),
    ),
    (
        "kubernetes:core/v1:ConfigMap",
        (
            ("data/extra", "postgres://hal9:hunter2@db/hal9", "CKV_SECRET_4", "dashboard"),
            ("data/key", "-----BEGIN PRIVATE KEY-----", "CKV_SECRET_13", "dashboard"),
        ),
    ),
    (
        "kubernetes:core/v1:Namespace",
        (
            ("metadata/labels/pod-security.kubernetes.io~enforce", "privileged", "PSS", "hal9"),
            ("metadata/labels/istio-injection", "disabled", "Istio security", "namespace-hal9"),
        ),
    ),
    (
        "kubernetes:core/v1:Secret",
        (("stringData", {"password": "hunter2"}, "CKV_K8S_35"), ("data", {"password": "aHVudGVyMg=="}, "CKV_K8S_35")),
    ),
    (
        "kubernetes:core/v1:Service",
        (
            ("spec/type", "LoadBalancer", "kube-score"),
            ("spec/type", "NodePort", "kube-score"),
            ("spec/externalIPs", ["1.2.3.4"], "CVE-2020-8554"),
            ("spec/externalName", "elsewhere.eu", "SEC05-BP01"),
        ),
    ),
    (
        "kubernetes:core/v1:ServiceAccount",
        (
            ("automountServiceAccountToken", True, "CKV_K8S_38"),
            ("metadata/annotations/eks.amazonaws.com~role-arn", "arn:aws:iam::814702239655:role/x", "SEC03-BP07"),
        ),
    ),
    (
        "kubernetes:helm.sh/v3:Release",
        (
            ("version", GONE, "CIS EKS 5.1"),
            ("repositoryOpts/repo", "https://charts.elsewhere.eu", "SEC06-BP01"),
            ("values/hostNetwork", True, "CKV_K8S_19"),
            ("values/adminPassword", "hunter2", "CKV_K8S_35"),
            ("values/securityContext", {"privileged": True}, "CKV_K8S_16"),
            ("values/service", {"type": "LoadBalancer"}, "kube-score"),
            ("values/image", {"repository": "elsewhere.eu/x"}, "SEC06-BP01"),
            ("valueYamlFiles", [{"path": "x"}], "SEC06-BP01"),
            ("values/extraArgs", ["--token=hunter2"], "CKV_K8S_35"),
            ("set", [{"name": "hostNetwork", "value": "true"}], "CKV_K8S_19"),
            ("values/env", [{"name": "TOKEN", "value": "hunter2"}], "CKV_K8S_35"),
            ("verify", False, "SEC06-BP01"),
            ("postrender", "curl evil", "SEC06-BP01"),
            ("chart", "https://elsewhere.eu/x.tgz", "SEC06-BP01"),
        ),
    ),
    (
        "kubernetes:networking.istio.io/v1:DestinationRule",
        (
            ("spec/trafficPolicy/tls/mode", "DISABLE", "Istio security"),
            ("spec/trafficPolicy/tls/mode", "SIMPLE", "Istio security"),
            (
                "spec/trafficPolicy/portLevelSettings",
                [{"port": {"number": 8000}, "tls": {"mode": "DISABLE"}}],
                "Istio security",
            ),
            ("spec/subsets", [{"name": "a", "trafficPolicy": {"tls": {"mode": "DISABLE"}}}], "Istio security"),
            ("spec/host", "*.local", "Istio, traffic management"),
            ("spec/trafficPolicy/outlierDetection", GONE, "Istio locality"),
        ),
    ),
    (
        "kubernetes:networking.istio.io/v1:Gateway",
        (
            ("spec/servers/0/tls/mode", "SIMPLE", "Istio security"),
            ("spec/servers/0/hosts", ["*"], "Istio security"),
            ("spec/servers/0/port/protocol", "HTTP", "Istio security"),
        ),
    ),
    (
        "kubernetes:networking.istio.io/v1:VirtualService",
        (
            ("spec/http/0/route/0/destination/host", "elsewhere.eu", "SEC05-BP01"),
            ("spec/http/0/mirror", {"host": "elsewhere.eu"}, "SEC05-BP01"),
            ("spec/http/0/corsPolicy", {"allowOrigins": [{"regex": ".*"}], "allowCredentials": True}, "OWASP, CORS"),
        ),
    ),
    (
        "kubernetes:networking.istio.io/v1:WorkloadEntry",
        (("spec/address", "elsewhere.eu", "SEC05-BP01"), ("spec/serviceAccount", "other", "Istio security")),
    ),
    (
        "kubernetes:networking.k8s.io/v1:NetworkPolicy",
        (
            ("spec/policyTypes", ["Ingress"], "CIS EKS 4.3.2", "default-deny"),
            ("spec/ingress", [{}], "CIS EKS 4.3.2", "hal9-server"),
            ("spec/egress", [{}], "CIS EKS 4.3.2", "hal9-server"),
            ("spec/podSelector", {"matchLabels": {"a": "b"}}, "CIS EKS 4.3.2", "default-deny"),
            ("spec/ingress", [{"from": [{"namespaceSelector": {}}]}], "CIS EKS 4.3.2", "hal9-server"),
            ("spec/egress", [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}], "CIS EKS 4.3.2", "hal9-server"),
        ),
    ),
    (
        "kubernetes:policy/v1:PodDisruptionBudget",
        (
            ("spec/maxUnavailable", "100%", "Polaris"),
            ("spec/unhealthyPodEvictionPolicy", GONE, "Polaris"),
            ("spec/selector", {"matchLabels": {"a": "b"}}, "kube-score"),
        ),
    ),
    (
        "kubernetes:security.istio.io/v1:AuthorizationPolicy",
        (
            ("spec/rules", [{}], "Istio security", "hal9-server"),
            ("spec/action", "AUDIT", "Istio security", "hal9-server"),
            ("spec/rules/0/from/0/source/principals", ["*"], "Istio security", "hal9-server"),
            ("spec/rules/0/from", GONE, "Istio security", "hal9-server"),
            (
                "spec/selector",
                {"matchLabels": {"a": "b"}},
                "Istio security",
                "hal9-server",
                "under the default deny it admits nobody anywhere",
            ),
            ("spec/rules/0/from/0/source", {"namespaces": ["*"]}, "Istio security", "hal9-server"),
            ("spec/rules/0/from/0/source", {"notPrincipals": ["x"]}, "Istio security", "hal9-server"),
        ),
    ),
    (
        "kubernetes:security.istio.io/v1:PeerAuthentication",
        (
            ("spec/mtls/mode", "PERMISSIVE", "Istio security"),
            ("spec/mtls/mode", "DISABLE", "Istio security"),
            ("spec/portLevelMtls", {"8000": {"mode": "DISABLE"}}, "Istio security"),
            ("spec/selector", {"matchLabels": {"a": "b"}}, "Istio security"),
        ),
    ),
    (
        "kubernetes:storage.k8s.io/v1:StorageClass",
        (("parameters/encrypted", "false", "CKV_AWS_3"), ("provisioner", "kubernetes.io/aws-ebs", "EKS 1.30 notes")),
    ),
    (
        "kubernetes:scheduling.k8s.io/v1:PriorityClass",
        (
            ("globalDefault", True, "kube-score"),
            (
                "value",
                1000000000,
                "kube-score",
                "",
                "who goes first where there is no room; tests/control places and evicts",
            ),
        ),
    ),
    (
        "kubernetes:secrets-store.csi.x-k8s.io/v1:SecretProviderClass",
        (
            ("spec/provider", "vault", "SEC08-BP01"),
            ("spec/secretObjects", [{"secretName": "x", "type": "Opaque"}], "CKV_K8S_35"),
        ),
    ),
    (
        "kubernetes:elbv2.k8s.aws/v1beta1:TargetGroupBinding",
        (("spec/networking", {"ingress": [{"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]}, "SEC05-BP02"),),
    ),
)
