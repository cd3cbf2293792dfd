package tools

import (
	"encoding/json"
	"os"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	meshconfig "istio.io/api/mesh/v1alpha1"
	"istio.io/istio/pilot/pkg/config/kube/crd"
	"istio.io/istio/pilot/pkg/features"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/test/xds"
	"istio.io/istio/pkg/cluster"
	"istio.io/istio/pkg/config/constants"
	"istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/config/mesh/meshwatcher"
	"istio.io/istio/pkg/network"
)

type input struct {
	Cluster    string            `json:"cluster"`
	Kubernetes string            `json:"kubernetes"`
	Istio      string            `json:"istio"`
	Mesh       string            `json:"mesh"`
	Networks   string            `json:"networks"`
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

// TestDump runs Istio's own control plane on one cluster's objects and writes the configuration that
// it would send to Envoy: what a proxy would really do, without a proxy.
//
// Input (JSON, path in HAL9_DISCOVERY_INPUT): the cluster's Kubernetes objects and Istio objects as YAML, the mesh
// networks, and the proxies to ask for. Output (JSON, path in HAL9_DISCOVERY_OUTPUT): by proxy name its listeners,
// routes, clusters and endpoints, in Envoy's own JSON form.
func TestDump(t *testing.T) {
	raw, err := os.ReadFile(os.Getenv("HAL9_DISCOVERY_INPUT"))
	if err != nil {
		t.Fatal(err)
	}
	var given input
	if err := json.Unmarshal(raw, &given); err != nil {
		t.Fatal(err)
	}
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
	// As istiod does when it reads objects: a short host name is one of the cluster's domain.
	configs, _, err := crd.ParseInputs(given.Istio)
	if err != nil {
		t.Fatal(err)
	}
	for i := range configs {
		configs[i].Domain = constants.DefaultClusterLocalDomain
	}
	server := xds.NewFakeDiscoveryServer(t, xds.FakeOptions{
		DefaultClusterName:     cluster.ID(given.Cluster),
		KubernetesObjectString: given.Kubernetes,
		Configs:                configs,
		MeshConfig:             config,
		NetworksWatcher:        meshwatcher.NewFixedNetworksWatcher(networks),
	})
	server.EnsureSynced(t)
	result := map[string]map[string][]json.RawMessage{}
	for name, asked := range given.Proxies {
		proxy := server.SetupProxy(&model.Proxy{
			ID:              name + "." + asked.Namespace,
			Type:            model.NodeType(asked.Type),
			ConfigNamespace: asked.Namespace,
			IPAddresses:     []string{asked.Address},
			Labels:          asked.Labels,
			Locality:        &core.Locality{Region: asked.Region, Zone: asked.Zone},
			Metadata: &model.NodeMetadata{
				Namespace:      asked.Namespace,
				ServiceAccount: asked.Account,
				Labels:         asked.Labels,
				ClusterID:      cluster.ID(given.Cluster),
				Network:        network.ID(asked.Network),
				// What ISTIO_META_REQUESTED_NETWORK_VIEW says: the networks whose endpoints the proxy sees.
				RequestedNetworkView: asked.View,
				IstioVersion:         "1.30.0",
			},
		})
		result[name] = map[string][]json.RawMessage{
			"listeners": encode(t, server.Listeners(proxy)),
			"routes":    encode(t, server.Routes(proxy)),
			"clusters":  encode(t, server.Clusters(proxy)),
			"endpoints": encode(t, server.Endpoints(proxy)),
		}
	}
	written, err := json.Marshal(result)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(os.Getenv("HAL9_DISCOVERY_OUTPUT"), written, 0o600); err != nil {
		t.Fatal(err)
	}
}

func encode[M proto.Message](t *testing.T, messages []M) []json.RawMessage {
	t.Helper()
	out := make([]json.RawMessage, 0, len(messages))
	for _, message := range messages {
		raw, err := protojson.Marshal(message)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, raw)
	}
	return out
}
