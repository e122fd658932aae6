package server

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/store"
)

// How far a revocation has come (docs/adr/0091). A node that was not heard goes on
// exporting for as long as the last seal that it got said, so that "distributed"
// is a word about every node, and about time, and not about open streams.

const (
	// clocksApart is by how much two clocks may differ (04 section 1).
	clocksApart = time.Second
	// maxUnheard bounds the nodes that an answer names.
	maxUnheard = 100
	// maxRevocations bounds what is remembered; a cluster has a few bases.
	maxRevocations = 1024
)

// revocation is a basis as it was revoked.
type revocation struct {
	revision uint64
	seen     time.Time // by when it was committed: no seal that was promised later lacks it
}

// revoked notes that a basis is revoked as of a revision, unless it is noted. What
// is noted here only can be too late, after a change of the leader: then more time
// is given than a node has.
func (h *hub) revoked(basis string, revision uint64, now time.Time) revocation {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, ok := h.revocations[basis]
	if ok && r.revision == revision {
		return r
	}
	if len(h.revocations) >= maxRevocations {
		clear(h.revocations)
	}
	r = revocation{revision: revision, seen: now}
	h.revocations[basis] = r
	return r
}

// stops is when the last node that has not heard of a revocation stops by itself.
func (h *hub) stops(r revocation) time.Time { return r.seen.Add(h.fresh + clocksApart) }

// unheard are the nodes that may have a bundle from before a revocation and have
// not confirmed it, by region and id. Whether their streams are open does not
// matter: what a node has confirmed it does not forget, and one without a stream
// still has what it had.
func (h *hub) unheard(all []store.Node, r revocation) (out []*controlv1.UnheardNode) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, n := range all {
		evicted := n.EvictedAt != nil && n.EvictedAt.After(r.seen.Add(-2*h.fresh)) // which is told nothing any more
		seen := h.nodes[n.ID]
		if !n.Admits() && !evicted || seen != nil && seen.acked >= r.revision {
			continue
		}
		u := &controlv1.UnheardNode{Node: string(n.ID), Region: string(n.Region)}
		if seen != nil {
			u.Connected, u.LastContact = seen.connected > 0, timestamppb.New(seen.contact)
		}
		out = append(out, u)
	}
	slices.SortFunc(out, func(a, b *controlv1.UnheardNode) int {
		return cmp.Or(cmp.Compare(a.GetRegion(), b.GetRegion()), cmp.Compare(a.GetNode(), b.GetNode()))
	})
	return out
}

// everywhere waits at most distributionPatience until every node has confirmed
// that a basis is revoked, and fills in how far it has come.
func (s basisService) everywhere(ctx context.Context, out *controlv1.RevokeBasisResponse) error {
	revision, err := strconv.ParseUint(out.GetBasis().GetEtag(), 16, 64) // that revoked it, now or long ago
	if err != nil {
		return err
	}
	r := s.hub.revoked(out.GetBasis().GetId(), revision, time.Now())
	patience := time.NewTimer(distributionPatience)
	defer patience.Stop()
	for late := false; ; {
		again := s.hub.nextAck()
		nodes, err := s.store.Nodes()
		if err != nil {
			return err
		}
		if tell(out, s.hub.unheard(nodes, r), s.hub.stops(r), time.Now()); out.GetDistributed() || late {
			return nil
		}
		select {
		case <-again:
		case <-patience.C:
			late = true // once more, for what was confirmed meanwhile
		case <-ctx.Done():
			return nil // what is known so far is true
		}
	}
}

// tell puts into words which nodes have not confirmed, and until when they may export.
func tell(out *controlv1.RevokeBasisResponse, unheard []*controlv1.UnheardNode, stops, now time.Time) {
	out.Distributed = len(unheard) == 0 || !now.Before(stops)
	out.UnheardNodes, out.Unheard, out.ExportsEndTime = int32(len(unheard)), unheard[:min(len(unheard), maxUnheard)], nil
	if len(unheard) > 0 {
		out.ExportsEndTime = timestamppb.New(stops)
	}
}

// nextAck is closed when a node next confirms anything.
func (h *hub) nextAck() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ackedNow
}
