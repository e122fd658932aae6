package client_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api"
	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/policy"
)

// serve runs a TLS server and gives a client that trusts only it, by file.
func serve(t *testing.T, h http.HandlerFunc) (*httptest.Server, *http.Client) {
	t.Helper()
	s := httptest.NewTLSServer(h)
	t.Cleanup(s.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	hc, err := client.NewHTTP(client.HTTPOptions{CAFile: ca})
	if err != nil {
		t.Fatal(err)
	}
	return s, hc
}

func TestAProblemDocumentBecomesTheDomainsError(t *testing.T) {
	s, hc := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		api.WriteProblem(w, policy.Errorf(policy.LooseningNeedsApproval, "it waits").With("change", "CH1"), "req-7")
	})
	c := client.Control{BaseURL: s.URL, Token: "t", HTTP: hc}
	_, err := c.PutPolicy(context.Background(), "acme", &controlv1.PolicyRules{}, "e1")
	var e *policy.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want a policy.Error", err)
	}
	if e.Reason != policy.LooseningNeedsApproval || e.Message != "it waits" || e.Metadata["change"] != "CH1" || e.Metadata["request_id"] != "req-7" {
		t.Fatalf("lost a part of the problem: %+v", e)
	}
}

func TestPatienceRepeatsWithTheSameIdempotencyKey(t *testing.T) {
	keys := map[string]int{}
	s, hc := serve(t, func(w http.ResponseWriter, r *http.Request) {
		keys[r.Header.Get("Idempotency-Key")]++
		if b, _ := io.ReadAll(r.Body); !bytes.Contains(b, []byte(`"home_region"`)) {
			t.Errorf("a repetition lost its body: %q", b)
		}
		if len(keys) == 1 && keys[r.Header.Get("Idempotency-Key")] < 3 {
			api.WriteProblem(w, policy.Errorf(policy.OutcomeUnknown, "leadership was lost"), "req")
			return
		}
		_, _ = w.Write([]byte(`{"id":"TN1","home_region":"ie1","home_epoch":"1","unknown_to_us":true}`))
	})
	c := client.Control{BaseURL: s.URL, HTTP: hc, Patience: 5 * time.Second}
	got, err := c.CreateTenant(context.Background(), &controlv1.CreateTenantRequest{Slug: "acme", HomeRegion: "ie1"})
	if err != nil || got.GetHomeRegion() != "ie1" || got.GetHomeEpoch() != 1 {
		t.Fatalf("got %v, %v", got, err)
	}
	if len(keys) != 1 || keys[""] != 0 {
		t.Fatalf("want one Idempotency-Key for all tries, got %v", keys)
	}
}

func TestARefusalIsNotRepeated(t *testing.T) {
	var calls atomic.Int32
	s, hc := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		api.WriteProblem(w, policy.Errorf(policy.RegionRequired, "name a region"), "req")
	})
	c := client.Control{BaseURL: s.URL, HTTP: hc, Patience: time.Minute}
	_, err := c.CreateTenant(context.Background(), &controlv1.CreateTenantRequest{Slug: "acme"})
	if !errors.Is(err, &policy.Error{Reason: policy.RegionRequired}) || calls.Load() != 1 {
		t.Fatalf("got %v after %d calls", err, calls.Load())
	}
}

func TestThreeOutcomesStayDistinct(t *testing.T) {
	s, hc := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_ = conn.Close() // the request arrived; its answer is lost
		}
	})
	lost := client.Control{BaseURL: s.URL, HTTP: hc}
	if err := lost.DeleteKey(context.Background(), "acme", "SK1", "e"); !errors.Is(err, &policy.Error{Reason: policy.OutcomeUnknown}) {
		t.Errorf("a write whose answer is lost: got %v, want OUTCOME_UNKNOWN", err)
	}
	if _, err := lost.Tenant(context.Background(), "acme"); !errors.Is(err, &policy.Error{Reason: policy.NotReady}) {
		t.Errorf("a read whose answer is lost: got %v, want UNAVAILABLE", err)
	}
	s.Close()
	if err := lost.DeleteKey(context.Background(), "acme", "SK1", "e"); !errors.Is(err, &policy.Error{Reason: policy.NotReady}) {
		t.Errorf("a write that never left: got %v, want UNAVAILABLE", err)
	}
	untrusting := client.Control{BaseURL: s.URL}
	if _, err := untrusting.Tenant(context.Background(), "acme"); err == nil {
		t.Error("nothing listens, yet there is no error")
	}
}

func TestAnUnknownAuthorityIsNotTrusted(t *testing.T) {
	s, _ := serve(t, func(http.ResponseWriter, *http.Request) {})
	system, err := client.NewHTTP(client.HTTPOptions{})
	if err != nil {
		t.Fatal(err)
	}
	err = (&client.Control{BaseURL: s.URL, HTTP: system}).Ready(context.Background())
	var e *policy.Error
	if !errors.As(err, &e) || !strings.Contains(e.Message, "--ca") {
		t.Fatalf("want a hint at --ca, got %v", err)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	var elsewhere atomic.Int32
	other, _ := serve(t, func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) })
	s, hc := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	})
	r := client.Region{BaseURL: s.URL, Key: "k", HTTP: hc}
	if _, err := r.CreateCall(context.Background(), data.NewCall{NativeID: "1"}); err == nil {
		t.Error("a redirect counted as success")
	}
	if elsewhere.Load() != 0 {
		t.Error("a record followed a redirect")
	}
}

func TestARefusedUploadIsNotSent(t *testing.T) {
	s, hc := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		api.WriteProblem(w, policy.Errorf(policy.WrongRegion, "go home"), "req")
	})
	body := &counter{r: strings.NewReader(strings.Repeat("x", 1<<20))}
	r := client.Region{BaseURL: s.URL, Key: "k", HTTP: hc}
	_, err := r.Batch(context.Background(), client.Upload{Body: body})
	if !errors.Is(err, &policy.Error{Reason: policy.WrongRegion}) {
		t.Fatalf("got %v", err)
	}
	if body.n.Load() != 0 {
		t.Fatalf("%d bytes of a refused upload were read to be sent", body.n.Load())
	}
}

type counter struct {
	r io.Reader
	n atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

func TestListsReadEveryPage(t *testing.T) {
	s, hc := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/tenants":
			if q := r.URL.Query(); q.Get("home_region") != "ie1" || q.Get("filter") != `state = "active" AND assurance != signed` {
				t.Errorf("a page lost its filter: %s", r.URL.RawQuery)
			}
			if r.URL.Query().Get("page_token") == "" {
				_, _ = w.Write([]byte(`{"tenants":[{"id":"TN1"}],"next_page_token":"p2"}`))
				return
			}
			_, _ = w.Write([]byte(`{"tenants":[{"id":"TN2"}]}`))
		case "/v1/calls":
			out := data.Calls{Calls: []data.Call{{ID: "CA" + r.URL.Query().Get("page_token")}}}
			if r.URL.Query().Get("page_token") == "" {
				out.NextPageToken = "2"
			}
			_ = json.NewEncoder(w).Encode(out)
		}
	})
	c := client.Control{BaseURL: s.URL, HTTP: hc}
	if ts, err := c.Tenants(context.Background(), "ie1", `state = "active"`, "", "assurance != signed"); err != nil || len(ts) != 2 {
		t.Fatalf("tenants: %v, %v", ts, err)
	}
	r := client.Region{BaseURL: s.URL, HTTP: hc}
	var ids []string
	err := r.AllCalls(context.Background(), client.Filter{}, func(c data.Call) error { ids = append(ids, c.ID); return nil })
	if err != nil || len(ids) != 2 || ids[1] != "CA2" {
		t.Fatalf("calls: %v, %v", ids, err)
	}
}

func TestASecretIsWellFormedAndDoesNotPrint(t *testing.T) {
	s, err := client.NewSecret("ie1", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	region, id, secret, err := policy.ParseKeyString(s.Key)
	if err != nil || region != "ie1" || string(id) != s.KeyID || policy.HashSecret(secret) != s.SHA256 {
		t.Fatalf("parts do not agree: %v", err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		if got := fmt.Sprintf(verb, s); got != "[redacted]" {
			t.Errorf("%s prints %s", verb, got)
		}
	}
	if _, err := client.NewSecret("nowhere", rand.Reader); err == nil {
		t.Error("a secret for no region was made")
	}
}
