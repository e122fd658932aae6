package client_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/domicile-io/domicile/api"
	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

func TestThePolicyTokenOnlyGrows(t *testing.T) {
	answers := []string{api.PolicyToken(7), "", api.PolicyToken(5), "nonsense", api.PolicyToken(9), ""}
	want := []string{"", api.PolicyToken(7), api.PolicyToken(7), api.PolicyToken(7), api.PolicyToken(7), api.PolicyToken(9)}
	call := 0
	s, hc := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("X-Policy-Token"); got != want[call] {
			t.Errorf("request %d carries %q, want %q", call, got, want[call])
		}
		if answers[call] != "" {
			w.Header().Set("X-Policy-Token", answers[call])
		}
		_, _ = w.Write([]byte("{}"))
	})
	c := client.Control{BaseURL: s.URL, HTTP: hc, Seen: &client.Freshness{}}
	for call = range answers {
		if _, err := c.Tenant(context.Background(), "acme"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAGivenIdempotencyKeyIsSent(t *testing.T) {
	const key = "7d444840-9dc0-11d1-b245-5ffdce74fad2"
	s, hc := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Idempotency-Key"); got != key {
			t.Errorf("got key %q", got)
		}
		_, _ = w.Write([]byte("{}"))
	})
	c := client.Control{BaseURL: s.URL, HTTP: hc}
	if _, err := c.CreateTenant(client.WithIdempotencyKey(context.Background(), key), &controlv1.CreateTenantRequest{Slug: "acme"}); err != nil {
		t.Fatal(err)
	}
}

func TestAMoveIsAskedFor(t *testing.T) {
	answer := func(w http.ResponseWriter) { api.WriteProblem(w, policy.Errorf(policy.NotYet, "not built"), "req") }
	s, hc := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/v1/tenants/acme/moves" {
			t.Errorf("asked %s %s", r.Method, r.URL.Path)
		}
		answer(w)
	})
	c := client.Control{BaseURL: s.URL, HTTP: hc}
	if _, err := client.StartMove(context.Background(), &c, "acme", "us1"); !errors.Is(err, &policy.Error{Reason: policy.NotYet}) {
		t.Errorf("a control plane without moves: %v", err)
	}
	answer = func(w http.ResponseWriter) { _, _ = w.Write([]byte(`{"id":"MV1"}`)) }
	if id, err := client.StartMove(context.Background(), &c, "acme", "us1"); id != "MV1" || err != nil {
		t.Errorf("a control plane with moves: %q, %v", id, err)
	}
}
