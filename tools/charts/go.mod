// The modules whose Helm charts and CRDs `make test-cluster` judges with; nothing of them is built.
module hal9.ai/deployment/tools/charts

go 1.26.0

require (
	github.com/prometheus-operator/prometheus-operator v0.85.0
	istio.io/istio v0.0.0-20260827124520-eed52ebb66ad
	sigs.k8s.io/aws-load-balancer-controller v0.0.0-20260423195125-93ff3b5fdaad
	sigs.k8s.io/metrics-server v0.9.0
	sigs.k8s.io/secrets-store-csi-driver v1.5.3
)
