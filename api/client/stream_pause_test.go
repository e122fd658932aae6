package client_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/domicile-io/domicile/api"
	"github.com/domicile-io/domicile/api/client"
	ingestv1 "github.com/domicile-io/domicile/api/ingest/v1"
	"github.com/domicile-io/domicile/policy"
)

// nobodyListens is an address of this machine where connections are refused.
func nobodyListens(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// A stream that finds nobody tries again after 0.1 s, 0.2 s and so on, and from then
// on every 5 s, until its patience ends: here after an hour, of a clock that moves on
// when everybody waits. Connections are real, and refused.
func TestAStreamTriesAgainEveryFiveSecondsAtMost(t *testing.T) {
	nobody := nobodyListens(t)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s, err := client.OpenStream(ctx, client.StreamOptions{Addresses: []string{nobody}, Key: "sk_ie1_test", Patience: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Send(ctx, []byte(`{"native_id":"1"}`)); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		// 0, 0.1, 0.3, 0.7, 1.5, 3.1 and 6.3 s, and then every 5 s to the first after the hour.
		const want = 7 + 719
		closed := make(chan error, 1)
		go func() { closed <- s.Close(ctx) }()
		for {
			select {
			case err := <-closed:
				if !errors.Is(err, &policy.Error{Reason: policy.NotReady}) {
					t.Errorf("the stream ended with %v", err)
				}
				if took := time.Since(began); s.Cuts() != want || took < time.Hour || took > time.Hour+5*time.Second {
					t.Errorf("%d attempts in %v, want %d in an hour and one pause", s.Cuts(), took, want)
				}
				return
			case <-time.After(10 * time.Second):
				if most := 10 + int(time.Since(began)/(5*time.Second)); s.Cuts() > most {
					t.Fatalf("%d attempts in %v, and there should be %d at most", s.Cuts(), time.Since(began), most)
				}
			}
		}
	})
}

// A node that asks to be left alone for a minute is asked again after five seconds.
func TestAStreamHeedsANodeForFiveSecondsAtMost(t *testing.T) {
	n := startIngestNode(t, func(n int, _ *ingestv1.StreamRequest) (bool, error) {
		if n < 2 {
			return false, policy.Errorf(policy.Overloaded, "later").With(api.RetryAfterKey, []string{"2", "60"}[n])
		}
		return true, nil
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s, err := client.OpenStream(ctx, n.options())
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := s.Send(ctx, []byte(`{"native_id":"1"}`)); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(ctx); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 7*time.Second || s.Cuts() != 2 {
			t.Errorf("acknowledged after %v and %d cuts, want 7 s and 2", took, s.Cuts())
		}
	})
}
