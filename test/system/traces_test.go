package system

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/dataplane"
	"github.com/domicile-io/domicile/internal/canary"
	"github.com/domicile-io/domicile/internal/dev"
	"github.com/domicile-io/domicile/internal/testcluster"
)

// collects is the receiving end of OTLP: it keeps what it is sent.
type collects struct {
	at string // its address
	collector.UnimplementedTraceServiceServer
	mu    sync.Mutex
	spans map[string][]string // name → values of attributes
	raw   bytes.Buffer
}

func (c *collects) Export(_ context.Context, in *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	raw, err := proto.Marshal(in)
	c.raw.Write(raw)
	for _, r := range in.ResourceSpans {
		for _, s := range r.ScopeSpans {
			for _, span := range s.Spans {
				c.spans[span.Name] = append(c.spans[span.Name], "")
				for _, a := range span.Attributes {
					c.spans[span.Name] = append(c.spans[span.Name], a.Value.String())
				}
			}
		}
	}
	return &collector.ExportTraceServiceResponse{}, err
}

func (c *collects) has(name, value string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.spans[name], func(v string) bool { return strings.Contains(v, value) })
}

// serve listens with a node's own certificate, which is good for 127.0.0.1.
func (c *collects) serve(t *testing.T, node dataplane.Config) string {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(node.TLS.Certificate, node.TLS.Key)
	check(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	s := grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(&pair)))
	collector.RegisterTraceServiceServer(s, c)
	go s.Serve(l)
	t.Cleanup(s.Stop)
	c.at = l.Addr().String()
	return c.at
}

// A node's traces reach the region's collector, through its door, and say
// nothing that a caller chose, wherever the caller put it.
func TestINV09_TracesSayNothingThatACallerChose(t *testing.T) {
	sink := &collects{spans: map[string][]string{}}
	c := start(t, testcluster.Options{EditRegion: func(_ *dev.Environment, node *dataplane.Config) error {
		if node.Region == "ie1" {
			node.Telemetry = &dataplane.TelemetryConfig{Collector: sink.serve(t, *node), Region: "ie1", CA: node.TLS.CA, Share: 1}
		}
		return nil
	}})
	_, region := place(t, c, "traced", "ie1", "IE", nil)
	canaries := map[string]string{"number": "+353867391846", "name": "Caoimhe Zqvx-Murchu", "trace": "4bf92f3577b34da6a3ce929d0e0e4736"}
	say(t, region, canaries)
	until(t, 20*time.Second, "spans", func() error { return missing(sink, region) })

	scanner := canary.NewScanner(canaries)
	sink.mu.Lock()
	defer sink.mu.Unlock()
	if found := scanner.Bytes("traces", sink.raw.Bytes()); len(found) > 0 {
		t.Errorf("traces hold what a caller chose: %v", found)
	}
	sink.raw.WriteString(canaries["number"])
	if found := scanner.Bytes("traces", sink.raw.Bytes()); len(found) == 0 {
		t.Error("the scan finds nothing, even what is there")
	}
}

type notYet string

func (n notYet) Error() string { return string(n) }

// missing says which expected word no span has yet, or that the ledger lacks the connection.
func missing(sink *collects, region *client.Region) error {
	for _, want := range [][2]string{{"request", "POST /v1/calls:batch"}, {"request", "GET /v1/calls/{id}"}, {"request", "NOT_FOUND"}, {"request", "UNAUTHENTICATED"}, {"admit", ""}, {"append", "native"}} {
		if !sink.has(want[0], want[1]) {
			return notYet("no span " + want[0] + " with " + want[1])
		}
	}
	ledger, err := region.Egress(context.Background())
	if err != nil {
		return err
	}
	for _, e := range ledger.Entries {
		if e.Class == "TELEMETRY" && e.Connections > 0 && e.Destination == sink.at { // a node tests itself under this class, too
			return nil
		}
	}
	return notYet("the egress ledger has no connection of class TELEMETRY")
}

// say sends canaries in every place that a caller fills.
func say(t *testing.T, region *client.Region, words map[string]string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	send := func(method, path, key, body string) {
		r, err := http.NewRequestWithContext(ctx, method, region.BaseURL+path, strings.NewReader(body))
		check(t, err)
		r.Header.Set("Authorization", "Bearer "+key)
		r.Header.Set("Content-Type", "application/x-ndjson")
		r.Header.Set("Traceparent", "00-"+words["trace"]+"-00f067aa0ba902b7-01")
		r.Header.Set("Tracestate", "caller="+strings.TrimPrefix(words["number"], "+"))
		r.Header.Set("Baggage", "number="+words["number"])
		r.Header.Set("User-Agent", words["name"])
		answer, err := region.HTTP.Do(r)
		check(t, err)
		check(t, answer.Body.Close())
	}
	send(http.MethodPost, "/v1/calls:batch", region.Key, `{"native_id":"`+words["number"]+`","from":"`+words["number"]+`","to":"+442079460001","caller_name":"`+words["name"]+`"}`)
	send(http.MethodGet, "/v1/calls/"+words["number"], region.Key, "")
	send(http.MethodGet, "/v1/nothing/"+words["number"]+"?number="+words["number"], region.Key, "")
	send(http.MethodGet, "/v1/calls", strings.Replace(region.Key, "ie1_", "ie1_0", 1), "")
}
