package tools

import (
	"encoding/json"
	"os"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/test/xds"
	"istio.io/istio/pkg/cluster"
	"istio.io/istio/pkg/network"
)

// TestDump runs Istio's own control plane on one cluster's objects and writes the configuration that
// it would send to Envoy: what a proxy would really do, without a proxy.
//
// Input (JSON, path in HAL9_DISCOVERY_INPUT): see input. Output (JSON, path in HAL9_DISCOVERY_OUTPUT): by the name of each
// of its proxies the listeners, routes, clusters and endpoints, in Envoy's own JSON form.
func TestDump(t *testing.T) {
	var given input
	read(t, &given)
	server := xds.NewFakeDiscoveryServer(t, options(t, given))
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
