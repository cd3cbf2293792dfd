package tools

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strconv"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/anypb"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secret "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"istio.io/istio/pilot/test/xds"
	kubelib "istio.io/istio/pkg/kube"
)

// served is a cluster whose control plane real Envoys ask: ADS over plain TCP, certificates over SDS as istio-agent
// would hand them out.
type served struct {
	input
	ADS        string     `json:"ads"`
	Identities []identity `json:"identities"`
}

// identity is one workload's certificate with its chain, its key and the root, as PEM files, behind a Unix socket.
type identity struct {
	Socket string `json:"socket"`
	Cert   string `json:"cert"`
	Key    string `json:"key"`
	Root   string `json:"root"`
}

// TestServe keeps Istio's own control plane running for one cluster and serves it to real Envoys.
//
// Input (JSON, path in HAL9_DISCOVERY_INPUT): see served. It says `serving` on its output once Envoys can ask. Each line
// of its standard input is an object of the cluster, as JSON, that is put in the place of the one of its name
// (EndpointSlice) or made (Pod); it answers `took NAME`. It lives until its standard input is closed.
func TestServe(t *testing.T) {
	var given served
	read(t, &given)
	for _, one := range given.Identities {
		present(t, one)
	}
	started := options(t, given.input)
	started.ListenerBuilder = func() (net.Listener, error) { return net.Listen("tcp", given.ADS) }
	server := xds.NewFakeDiscoveryServer(t, started)
	server.EnsureSynced(t)
	fmt.Println("serving", given.Cluster, given.ADS)
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		put(t, server.KubeClient(), lines.Bytes())
	}
}

func put(t *testing.T, client kubelib.Client, line []byte) {
	t.Helper()
	var named metav1.PartialObjectMetadata
	if err := json.Unmarshal(line, &named); err != nil {
		t.Fatal(err)
	}
	var err error
	switch named.Kind {
	case "Pod":
		one := &corev1.Pod{}
		if err = json.Unmarshal(line, one); err == nil {
			_, err = client.Kube().CoreV1().Pods(one.Namespace).Create(context.Background(), one, metav1.CreateOptions{})
		}
	case "EndpointSlice":
		one := &discoveryv1.EndpointSlice{}
		if err = json.Unmarshal(line, one); err == nil {
			_, err = client.Kube().DiscoveryV1().EndpointSlices(one.Namespace).Update(context.Background(), one, metav1.UpdateOptions{})
		}
	default:
		t.Fatalf("%s cannot be put while the control plane runs", named.Kind)
	}
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("took", named.Name)
}

// present serves one identity over SDS.
func present(t *testing.T, who identity) {
	t.Helper()
	listener, err := net.Listen("unix", who.Socket)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(who.Socket, 0o777); err != nil { // Envoy runs as another user
		t.Fatal(err)
	}
	server := grpc.NewServer()
	secret.RegisterSecretDiscoveryServiceServer(server, &presenter{who: who})
	go func() { _ = server.Serve(listener) }()
}

type presenter struct {
	secret.UnimplementedSecretDiscoveryServiceServer
	who identity
}

// StreamSecrets answers each first question of a stream; what follows are acknowledgements, as nothing ever changes.
func (p *presenter) StreamSecrets(stream secret.SecretDiscoveryService_StreamSecretsServer) error {
	for sent := 0; ; {
		asked, err := stream.Recv()
		if err != nil {
			return err
		}
		if asked.ErrorDetail != nil {
			fmt.Println("Envoy refused a secret:", asked.ErrorDetail.Message)
		}
		if asked.ResponseNonce != "" {
			continue
		}
		found := &discovery.DiscoveryResponse{VersionInfo: "1", TypeUrl: asked.TypeUrl, Nonce: strconv.Itoa(sent)}
		sent++
		for _, name := range asked.ResourceNames {
			one, err := p.secret(name)
			if err != nil {
				return err
			}
			packed, err := anypb.New(one)
			if err != nil {
				return err
			}
			found.Resources = append(found.Resources, packed)
		}
		if err := stream.Send(found); err != nil {
			return err
		}
	}
}

// secret is what Istio's Envoys ask for: `default`, their own certificate, and `ROOTCA`, what others' are verified by.
func (p *presenter) secret(name string) (*tls.Secret, error) {
	if name == "ROOTCA" {
		root, err := inline(p.who.Root)
		trusted := &tls.CertificateValidationContext{TrustedCa: root}
		return &tls.Secret{Name: name, Type: &tls.Secret_ValidationContext{ValidationContext: trusted}}, err
	}
	chain, err := inline(p.who.Cert)
	if err != nil {
		return nil, err
	}
	key, err := inline(p.who.Key)
	own := &tls.TlsCertificate{CertificateChain: chain, PrivateKey: key}
	return &tls.Secret{Name: name, Type: &tls.Secret_TlsCertificate{TlsCertificate: own}}, err
}

func inline(path string) (*core.DataSource, error) {
	raw, err := os.ReadFile(path)
	return &core.DataSource{Specifier: &core.DataSource_InlineBytes{InlineBytes: raw}}, err
}
