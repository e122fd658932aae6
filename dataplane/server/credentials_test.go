package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/internal/guesses"
	"github.com/domicile-io/domicile/policy"
)

// sharesOf gives a region shares of refusals that do not come back while a test runs.
func (r *region) sharesOf(address, key int) {
	r.t.Helper()
	var err error
	r.server.trials.addresses, err = guesses.New(guesses.Options{PerSecond: 1e-9, AtOnce: address})
	must(r.t, err)
	r.server.trials.keys, err = guesses.New(guesses.Options{PerSecond: 1e-9, AtOnce: key})
	must(r.t, err)
}

// from asks like [region.ask], over connections from an address of the loopback network.
func (r *region) from(host string) *region {
	there := *r
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(host)}, Timeout: 10 * time.Second}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: r.roots},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return d.DialContext(ctx, network, address)
		}}
	r.t.Cleanup(transport.CloseIdleConnections)
	there.client = &http.Client{Transport: transport}
	return &there
}

// unknown is a well-formed key of ie1 that nobody has.
func unknown(n int) string { return fmt.Sprintf("sk_ie1_%032x_%064x", n, n) }

// One address that tries keys is held back, however it shows them; what works
// goes on from there too, and other addresses do not pay for it.
func TestINV41_GuessesOfOneAddressAreLimitedAndNobodyIsLockedOut(t *testing.T) {
	r := start(t)
	r.sharesOf(3, 1000)
	r.refusal(policy.Unauthenticated, http.MethodGet, "/v1/calls", unknown(1), "")
	r.refusal(policy.Unauthenticated, http.MethodGet, "/v1/calls", "", "", "Authorization", basic("acme", unknown(2)))
	r.refusal(policy.Unauthenticated, http.MethodGet, "/v1/calls", "no-key", "")
	for n, header := range []string{"Bearer " + unknown(3), basic("acme", unknown(4)), basic("bolt", reader)} {
		status, h, raw := r.ask(http.MethodGet, "/v1/calls", "", nil, "Authorization", header)
		if p := r.problem(policy.Overloaded, status, h, raw); h.Get("Retry-After") == "" || p.Metadata["cause"] != causeGuesses {
			t.Errorf("guess %d: Retry-After %q, %v", n, h.Get("Retry-After"), p.Metadata)
		}
	}
	r.refusal(policy.Overloaded, http.MethodGet, "/2010-04-01/Accounts/AC"+strings.Repeat("a", 32)+"/Calls.json", "", "", "Authorization", basic("AC"+strings.Repeat("a", 32), unknown(5)))
	if n := r.counter("domicile_guesses_refused_total", "address"); n != 4 {
		t.Errorf("%v were counted, want 4", n)
	}
	for name, header := range map[string]string{"bearer": "Bearer " + reader, "basic": basic("acme", reader)} {
		if status, _, raw := r.ask(http.MethodGet, "/v1/calls", "", nil, "Authorization", header); status != http.StatusOK {
			t.Errorf("%s: a key that works got %d %s", name, status, raw)
		}
	}
	r.refusal(policy.Unauthenticated, http.MethodGet, "/v1/calls", "", "") // shows nothing, guesses nothing
	r.refusal(policy.WrongRegion, http.MethodGet, "/v1/calls", strings.Replace(unknown(6), "ie1", "us1", 1), "")
	r.from("127.0.0.2").refusal(policy.Unauthenticated, http.MethodGet, "/v1/calls", unknown(7), "")
}

// Many addresses do not have one key to themselves; and nobody learns from the
// answers whether there is such a key (INV11).
func TestINV41_GuessesAtOneKeyAreLimited(t *testing.T) {
	r := start(t)
	r.sharesOf(1000, 2)
	wrong := reader[:len(reader)-64] + strings.Repeat("0", 64)
	for name, shown := range map[string]string{"a key that there is": wrong, "one that there is not": unknown(1), "with Z": strings.ReplaceAll(unknown(2), "_", "Z")} {
		for i, want := range []policy.Reason{policy.Unauthenticated, policy.Unauthenticated, policy.Overloaded, policy.Overloaded} {
			status, h, raw := r.from(fmt.Sprintf("127.0.0.%d", 2+i)).ask(http.MethodGet, "/v1/calls", shown, nil)
			if p := r.problem(want, status, h, raw); want == policy.Overloaded && p.Metadata["cause"] != causeGuesses {
				t.Errorf("%s: %v", name, p)
			}
		}
	}
	if n := r.counter("domicile_guesses_refused_total", "key"); n != 6 {
		t.Errorf("%v were counted, want 6", n)
	}
	if status, _, raw := r.ask(http.MethodGet, "/v1/calls", reader, nil); status != http.StatusOK {
		t.Errorf("the key itself got %d %s", status, raw)
	}
}

// A guess with a small body costs its connection: what a stranger sends is not read.
func TestINV08_TheBodyOfAGuessIsNotRead(t *testing.T) {
	r := start(t)
	r.sharesOf(1, 1000)
	r.refusal(policy.Unauthenticated, http.MethodGet, "/v1/calls", unknown(1), "")
	c := r.dial()
	_, err := io.WriteString(c, "POST /v1/calls:batch HTTP/1.1\r\nHost: api.ie1.example.test\r\nAuthorization: Bearer "+unknown(2)+"\r\nContent-Length: 1000\r\n\r\n")
	must(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	must(t, err)
	if resp.StatusCode != http.StatusTooManyRequests || !resp.Close {
		t.Errorf("got %d, closed %v", resp.StatusCode, resp.Close)
	}
}
