package attacks

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/internal/testcluster"
	"github.com/domicile-io/domicile/policy"
)

// region is ie1 with two tenants: one of them works, the other one's key is the
// attacker's.
type region struct {
	t *testing.T
	*testcluster.Cluster
	good, bad     *client.Region
	foreign       string // a key of us1
	tenants, peer string // host:port of ie1
	ops           string
	calls         atomic.Int64
}

func openRegion(t *testing.T) *region {
	t.Helper()
	c, err := testcluster.Open(t.Context(), testcluster.Options{Dir: t.TempDir(), Bin: bin})
	check(t, err)
	t.Cleanup(func() { check(t, c.Close()) })
	config, err := c.Env.RegionConfig("ie1")
	check(t, err)
	u, err := url.Parse(c.Env.RegionURL("ie1"))
	check(t, err)
	r := &region{t: t, Cluster: c, tenants: u.Host, peer: config.PeerAddress, ops: config.OpsAddress}
	r.good, r.bad = r.place("works", "ie1"), r.place("attacks", "ie1")
	r.foreign = r.place("elsewhere", "us1").Key
	return r
}

func (r *region) place(slug, home string) *client.Region {
	r.t.Helper()
	control := r.Control("cp1")
	_, err := control.CreateTenant(r.t.Context(), &controlv1.CreateTenantRequest{Slug: slug, HomeRegion: home, BillingCountry: "IE"})
	check(r.t, err)
	key, err := control.CreateKey(r.t.Context(), &controlv1.CreateKeyRequest{Tenant: slug, Region: home, Role: "admin"})
	check(r.t, err)
	if !key.Distributed {
		r.t.Fatalf("the key of %s was not at its region within 2 s", slug)
	}
	return r.Region(home, key.Secret)
}

// work stores a call and reads it back.
func (r *region) work(ctx context.Context) error {
	n := r.calls.Add(1)
	at := time.Date(2026, 3, 16, 10, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Second)
	answered := int64(1000)
	made, err := r.good.CreateCall(ctx, data.NewCall{NativeID: fmt.Sprintf("work-%d", n), From: "+35319100100", To: "+35319100099", Direction: "inbound",
		Status: "completed", StartTime: &at, DurationMS: &answered})
	if err != nil {
		return err
	}
	_, err = r.good.Call(ctx, made.ID)
	return err
}

// kept is what the attacker's tenant has: nothing. It is refused while the node
// still lets go of what that tenant has just sent.
func (r *region) kept() string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	calls, err := r.bad.Calls(ctx, client.Filter{})
	for errors.Is(err, &policy.Error{Reason: policy.Overloaded}) && ctx.Err() == nil {
		<-time.After(100 * time.Millisecond)
		calls, err = r.bad.Calls(ctx, client.Filter{})
	}
	check(r.t, err)
	q, err := r.bad.Quarantine(ctx, "")
	check(r.t, err)
	return fmt.Sprintf("%d calls, %d quarantined", len(calls.Calls), len(q.Items))
}

func (r *region) attack(name string, do func(ctx context.Context) (witness string)) {
	r.t.Helper()
	v := victim{process: r.Process("ie1"), ask: r.work, state: r.kept, secrets: []string{r.good.Key, r.bad.Key, r.foreign, private}}
	v.attack(r.t, name, do)
}

func TestINV41_FloodsAndSlowClientsAtARegionLeaveTheOthersAlone(t *testing.T) {
	r := openRegion(t)
	roots, err := mtls.LoadRoots(r.Env.CAFile())
	check(t, err)
	tlsTo := func(address string, conf *tls.Config) func(context.Context) (net.Conn, error) {
		return func(ctx context.Context) (net.Conn, error) {
			return (&tls.Dialer{Config: conf}).DialContext(ctx, "tcp", address)
		}
	}
	over := tlsTo(r.tenants, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12})
	plain := func(address string) func(context.Context) (net.Conn, error) {
		return func(ctx context.Context) (net.Conn, error) { return (&net.Dialer{}).DialContext(ctx, "tcp", address) }
	}
	noise := func(c net.Conn) error { _, err := c.Write(bytes.Repeat([]byte{0x16, 3, 1}, 100)); return err }
	head := func(key, rest string) string {
		return "POST /v1/calls:batch HTTP/1.1\r\nHost: " + r.tenants + "\r\nAuthorization: Bearer " + key + "\r\nContent-Type: application/x-ndjson\r\n" + rest
	}

	r.attack("connections that say nothing", func(ctx context.Context) string { return crowd(ctx, 600, over, nil) })
	r.attack("connections without a handshake", func(ctx context.Context) string { return crowd(ctx, 600, plain(r.tenants), nil) })
	r.attack("noise before the handshake", func(ctx context.Context) string { return crowd(ctx, 300, plain(r.tenants), noise) })
	r.attack("peer connections without a handshake", func(ctx context.Context) string { return crowd(ctx, 400, plain(r.peer), nil) })
	r.attack("peer connections without a certificate", func(ctx context.Context) string {
		return crowd(ctx, 300, tlsTo(r.peer, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}), nil)
	})
	r.attack("operators' connections that say nothing", func(ctx context.Context) string { return crowd(ctx, 400, plain(r.ops), nil) })
	r.attack("slow headers", func(ctx context.Context) string {
		return crowd(ctx, 300, over, drip("GET /v1/calls HTTP/1.1\r\nHost: "+r.tenants+"\r\nX-Filler: "+private, "a"))
	})
	r.attack("slow bodies of nobody", func(ctx context.Context) string {
		return crowd(ctx, 300, over, drip(head(private, "Content-Length: 1000000\r\n\r\n{"), " "))
	})
	r.attack("slow bodies of a tenant", func(ctx context.Context) string {
		return crowd(ctx, 300, over, drip(head(r.bad.Key, "Content-Length: 1000000\r\n\r\n"), " "))
	})
	r.attack("slow chunks of a tenant", func(ctx context.Context) string {
		return crowd(ctx, 300, over, drip(head(r.bad.Key, "Transfer-Encoding: chunked\r\n\r\n"), "1\r\n \r\n"))
	})
	r.attack("uploads for another region", func(ctx context.Context) string {
		return crowd(ctx, 200, over, drip(head(r.foreign, "Content-Length: 1000000000\r\n\r\n"), strings.Repeat(private, 4000)))
	})
	r.attack("requests in a row that nobody reads", func(ctx context.Context) string {
		get := strings.Repeat("GET /v1/calls HTTP/1.1\r\nHost: "+r.tenants+"\r\nAuthorization: Bearer "+r.bad.Key+"\r\n\r\n", 50)
		return crowd(ctx, 100, over, drip(get, get))
	})
	r.attack("guesses", func(ctx context.Context) string { return guesses(ctx, over, r.tenants) })
}

// guesses sends requests with credentials of nobody as fast as they are answered.
func guesses(ctx context.Context, dial func(context.Context) (net.Conn, error), host string) string {
	var sent atomic.Int64
	var all sync.WaitGroup
	for n := range 16 {
		all.Go(func() {
			for ctx.Err() == nil {
				c, err := dial(ctx)
				if err != nil {
					continue
				}
				_ = c.SetDeadline(time.Now().Add(duration))
				for i := 0; ctx.Err() == nil; i++ {
					if _, err := fmt.Fprintf(c, "GET /v1/calls HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer sk_ie1_%032d%032d\r\n\r\n", host, n, i); err != nil {
						break
					}
					sent.Add(1)
					if _, err := io.ReadAtLeast(c, make([]byte, 4096), 1); err != nil {
						break
					}
				}
				_ = c.Close()
			}
		})
	}
	all.Wait()
	return fmt.Sprintf("%d guesses", sent.Load())
}
