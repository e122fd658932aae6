package client_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/domicile-io/domicile/api/client"
	ingestv1 "github.com/domicile-io/domicile/api/ingest/v1"
)

// The lines between the marks are those of docs/operations/streams.md, which
// TestThePageShowsTheExample compares; TestTheExampleOfThePageWorks runs them.
func sendCalls(ctx context.Context, addresses []string, o client.StreamOptions) error {
	key, trust, acknowledged := o.Key, o.TLS, o.Acknowledged
	// page
	s, err := client.OpenStream(ctx, client.StreamOptions{
		Addresses:    addresses, // host:port of each node's ingest_address
		Key:          key,       // sk_<region>_…
		TLS:          trust,     // nil: the system's authorities
		Acknowledged: acknowledged,
	})
	if err != nil {
		return err
	}
	if _, err := s.Send(ctx, []byte(`{"native_id":"call-1","from":"+353861234567","status":"completed"}`)); err != nil {
		return err
	}
	return s.Close(ctx) // nil: everything is acknowledged
	// end
}

func TestTheExampleOfThePageWorks(t *testing.T) {
	n := startIngestNode(t, func(int, *ingestv1.StreamRequest) (bool, error) { return true, nil })
	o := n.options()
	var mu sync.Mutex
	heard := 0
	o.Acknowledged = func(*ingestv1.StreamResponse) { mu.Lock(); heard++; mu.Unlock() }
	if err := sendCalls(context.Background(), o.Addresses, o); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if heard != 1 {
		t.Errorf("%d acknowledgements", heard)
	}
}

func TestThePageShowsTheExample(t *testing.T) {
	source, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(source), "\t// page\n")
	code, _, _ = strings.Cut(code, "\t// end\n")
	var want strings.Builder
	for line := range strings.Lines(code) {
		fmt.Fprint(&want, strings.TrimPrefix(line, "\t"))
	}
	page, err := os.ReadFile("../../docs/operations/streams.md")
	if err != nil {
		t.Fatal(err)
	}
	if block := "```go\n" + want.String() + "```\n"; want.Len() < 200 || !strings.Contains(string(page), block) {
		t.Errorf("docs/operations/streams.md does not show what is compiled here:\n%s", block)
	}
}
