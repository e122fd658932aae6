package dataplane

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/domicile-io/domicile/dataplane/lease"
	"github.com/domicile-io/domicile/dataplane/store/sealed"
	"github.com/domicile-io/domicile/policy"
)

const (
	mergeEvery = 10 * time.Minute // from one round over all tenants to the next
	mergeYield = 20 * time.Millisecond
	// Room that merging made free is asked back from the engine when it is so much,
	// and so much of what is stored: asking rewrites tables.
	reclaimBytes = 32 << 20
	reclaimShare = 10
)

// merged is a record store as its merger sees it.
type merged interface {
	Tenants() ([]policy.TenantID, error)
	Merge(ctx context.Context, id policy.TenantID, o sealed.MergeOptions) (sealed.Merged, error)
	Reclaim(ctx context.Context, id policy.TenantID) error
	Size() uint64
}

// merger merges what is small in the background: records that came alone.
type merger struct {
	n       *Node
	store   merged
	waiting func() int // requests that wait for their turn
	frames  prometheus.Counter
	covers  prometheus.Counter
	bytes   prometheus.Counter
	ended   prometheus.Gauge

	saved map[policy.TenantID]uint64 // since room was asked back
}

// startMerger keeps rounds going, on one node of the region.
func (n *Node) startMerger() {
	s, ok := n.store.(merged)
	if !ok {
		return
	}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		n.registry.MustRegister(c)
		return c
	}
	m := &merger{n: n, store: s, waiting: n.server.Waiting, saved: map[policy.TenantID]uint64{},
		frames: counter("domicile_merge_frames_total", "Frames of records that came alone and were put under covers, with others."),
		covers: counter("domicile_merge_covers_total", "Covers that were made of them."),
		bytes:  counter("domicile_merge_saved_bytes_total", "Bytes that they took before, less those that they take now."),
		ended:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "domicile_merge_last_end_timestamp_seconds", Help: "When the last round of merging ended; 0 before the first."})}
	n.registry.MustRegister(m.ended)
	n.background("merger", lease.Merge, func(ctx context.Context) {
		for ctx.Err() == nil {
			m.round(ctx)
			wait(ctx, min(mergeEvery, max(n.cfg.MergeAfter, mergeYield)))
		}
	})
}

// round goes over all tenants once. What fails is tried again by the next.
func (m *merger) round(ctx context.Context) {
	tenants, err := m.store.Tenants()
	if err != nil {
		m.n.log.Warn("tenants could not be listed, so nothing was merged; it is tried again in a moment", "cause", err)
		return
	}
	for _, id := range tenants {
		if err := m.tenant(ctx, id); err != nil && ctx.Err() == nil {
			m.n.log.Warn("records that came alone could not be merged; it is tried again in a moment", "tenant", string(id), "cause", err)
		}
		if ctx.Err() != nil {
			return
		}
	}
	m.ended.SetToCurrentTime()
	if err := m.reclaim(ctx); err != nil && ctx.Err() == nil {
		m.n.log.Warn("room that merging made free could not be given back; it is tried again in a moment", "cause", err)
	}
}

func (m *merger) tenant(ctx context.Context, id policy.TenantID) error {
	for {
		for m.waiting() > 0 && ctx.Err() == nil {
			wait(ctx, mergeYield)
		}
		done, err := m.store.Merge(ctx, id, sealed.MergeOptions{After: m.n.cfg.MergeAfter})
		if err != nil {
			return err
		}
		m.frames.Add(float64(done.Frames))
		m.covers.Add(float64(done.Covers))
		if done.Covers > 0 {
			m.bytes.Add(float64(done.Before - done.After))
			m.saved[id] += done.Before - done.After
		}
		if !done.More {
			return nil
		}
	}
}

func (m *merger) reclaim(ctx context.Context) error {
	sum := uint64(0)
	for _, n := range m.saved {
		sum += n
	}
	if sum < max(reclaimBytes, m.store.Size()/reclaimShare) {
		return nil
	}
	for id := range m.saved {
		if err := m.store.Reclaim(ctx, id); err != nil {
			return err
		}
		delete(m.saved, id)
	}
	m.n.log.Info("room that merging made free was given back", "bytes", sum)
	return nil
}
