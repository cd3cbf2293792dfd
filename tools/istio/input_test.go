package tools

import (
	"encoding/json"
	"os"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"sigs.k8s.io/yaml"

	meshconfig "istio.io/api/mesh/v1alpha1"
	"istio.io/istio/pilot/pkg/config/kube/crd"
	"istio.io/istio/pilot/pkg/features"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/test/xds"
	"istio.io/istio/pkg/cluster"
	"istio.io/istio/pkg/config/constants"
	"istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/config/mesh/meshwatcher"
)

// input is one cluster as istiod would see it: its Kubernetes objects and Istio objects as YAML, the mesh's configuration
// and networks, and the DNS servers (address:port) that the networks' names are asked of; those of /etc/resolv.conf where
// none is given.
type input struct {
	Cluster    string            `json:"cluster"`
	Kubernetes string            `json:"kubernetes"`
	Istio      string            `json:"istio"`
	Mesh       string            `json:"mesh"`
	Networks   string            `json:"networks"`
	DNS        []string          `json:"dns"`
	Proxies    map[string]member `json:"proxies"`
}

type member struct {
	Type      string            `json:"type"`
	Namespace string            `json:"namespace"`
	Account   string            `json:"account"`
	Address   string            `json:"address"`
	Labels    map[string]string `json:"labels"`
	Network   string            `json:"network"`
	View      []string          `json:"view"`
	Region    string            `json:"region"`
	Zone      string            `json:"zone"`
}

// read fills given from the file that HAL9_DISCOVERY_INPUT names.
func read(t *testing.T, given any) {
	t.Helper()
	raw, err := os.ReadFile(os.Getenv("HAL9_DISCOVERY_INPUT"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, given); err != nil {
		t.Fatal(err)
	}
}

// options is what Istio's discovery server is started with for a cluster.
func options(t *testing.T, given input) xds.FakeOptions {
	t.Helper()
	config, err := mesh.ApplyMeshConfigDefaults(given.Mesh)
	if err != nil {
		t.Fatal(err)
	}
	networks := &meshconfig.MeshNetworks{}
	asJSON, err := yaml.YAMLToJSON([]byte(given.Networks))
	if err != nil {
		t.Fatal(err)
	}
	if err := protojson.Unmarshal(asJSON, networks); err != nil {
		t.Fatal(err)
	}
	features.ClusterName = given.Cluster
	model.NetworkGatewayTestDNSServers = given.DNS
	// As istiod does when it reads objects: a short host name is one of the cluster's domain.
	configs, _, err := crd.ParseInputs(given.Istio)
	if err != nil {
		t.Fatal(err)
	}
	for i := range configs {
		configs[i].Domain = constants.DefaultClusterLocalDomain
	}
	return xds.FakeOptions{
		DefaultClusterName:     cluster.ID(given.Cluster),
		KubernetesObjectString: given.Kubernetes,
		Configs:                configs,
		MeshConfig:             config,
		NetworksWatcher:        meshwatcher.NewFixedNetworksWatcher(networks),
	}
}
