package server

import (
	"fmt"
	"testing"
	"time"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Distributed means every node that may still export, whether its stream is open,
// whether this leader has ever heard of it, and whether it was evicted just before.
func TestEverywhereMeansEveryNodeThatMayExport(t *testing.T) {
	h := newHub(Options{FreshFor: time.Minute})
	revoked := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	just, long := revoked.Add(-time.Second), revoked.Add(-time.Hour)
	nodes := []store.Node{
		{ID: "ND-asks", Region: "us1", State: store.NodeRequested},
		{ID: "ND-gone", Region: "us1", State: store.NodeEvicted, EvictedAt: &long},
		{ID: "ND-out", Region: "us1", State: store.NodeEvicted, EvictedAt: &just},
		{ID: "ND-new", Region: "us1", State: store.NodeAdmitted},
		{ID: "ND-slow", Region: "ie1", State: store.NodeAdmitted},
		{ID: "ND-has", Region: "ie1", State: store.NodeAdmitted},
		{ID: "ND-left", Region: "ie1", State: store.NodeAdmitted},
	}
	h.nodes = map[policy.NodeID]*node{
		"ND-slow": {region: "ie1", connected: 1, acked: 6, contact: just},
		"ND-has":  {region: "ie1", connected: 1, acked: 7, contact: just},
		"ND-left": {region: "ie1", acked: 9, contact: long}, // what it has confirmed it holds, stream or not
	}
	r := h.revoked("SCC", 7, revoked)
	said := ""
	for _, u := range h.unheard(nodes, r) {
		said += fmt.Sprintf("%s/%s connected %t heard %t; ", u.GetRegion(), u.GetNode(), u.GetConnected(), u.GetLastContact() != nil)
	}
	if want := "ie1/ND-slow connected true heard true; us1/ND-new connected false heard false; us1/ND-out connected false heard false; "; said != want {
		t.Errorf("got  %s\nwant %s", said, want)
	}

	stops := h.stops(r)
	if want := revoked.Add(61 * time.Second); !stops.Equal(want) {
		t.Errorf("a node that hears nothing stops at %s, want %s", stops, want)
	}
	if again := h.revoked("SCC", 7, revoked.Add(time.Hour)); again != r {
		t.Errorf("asked again, it was revoked at %s", again.seen)
	}
	if anew := h.revoked("SCC", 8, revoked.Add(time.Hour)); !anew.seen.Equal(revoked.Add(time.Hour)) {
		t.Errorf("revoked anew, it was revoked at %s", anew.seen)
	}
}

func TestEverywhereIsTrueOnceTheUnheardHaveStopped(t *testing.T) {
	stops := time.Date(2026, 3, 1, 12, 1, 1, 0, time.UTC)
	one := make([]*controlv1.UnheardNode, 1)
	for _, x := range []struct {
		name        string
		unheard     []*controlv1.UnheardNode
		now         time.Time
		distributed bool
		end         bool
	}{
		{"all have confirmed", nil, stops.Add(-time.Minute), true, false},
		{"one has not", one, stops.Add(-time.Nanosecond), false, true},
		{"one has not, and has stopped", one, stops, true, true},
		{"more than an answer names", make([]*controlv1.UnheardNode, maxUnheard+1), stops.Add(-time.Minute), false, true},
	} {
		out := &controlv1.RevokeBasisResponse{}
		tell(out, x.unheard, stops, x.now)
		if out.GetDistributed() != x.distributed || (out.GetExportsEndTime() != nil) != x.end || int(out.GetUnheardNodes()) != len(x.unheard) || len(out.GetUnheard()) > maxUnheard {
			t.Errorf("%s: distributed %t, end %v, %d nodes, %d named", x.name, out.GetDistributed(), out.GetExportsEndTime(), out.GetUnheardNodes(), len(out.GetUnheard()))
		}
	}
}
