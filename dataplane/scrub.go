package dataplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/domicile-io/domicile/dataplane/lease"
	"github.com/domicile-io/domicile/dataplane/local"
	localstore "github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/dataplane/store/sealed"
	"github.com/domicile-io/domicile/policy"
)

const (
	defaultScrubInterval = 7 * 24 * time.Hour
	defaultScrubRate     = 4 << 20
	scrubRetry           = time.Minute // after a pass that could not go on
)

// ScrubReport is what a pass over everything that a node has stored found.
type ScrubReport struct {
	Checked uint64 // values that were opened
	Corrupt uint64 // of them, those that are not what was written
	Aside   uint64 // damaged values that are kept aside, from all passes
}

// Scrub reads and checks everything that a stopped node has stored, as fast as
// it goes. progress is told the share that is done, 0 to 1. It fails when the
// node runs: that scrubs by itself.
func Scrub(ctx context.Context, cfg Config, log *slog.Logger, progress func(share float64)) (ScrubReport, error) {
	o, _, end, err := cfg.offlineKeyring(log)
	if err != nil {
		return ScrubReport{}, err
	}
	defer end()
	o.RotateEvery = 0 // nothing is changed here
	keys, err := local.OpenKeyring(o)
	if err != nil {
		return ScrubReport{}, fmt.Errorf("open keyring: %w", err)
	}
	defer keys.Close()
	s, err := localstore.Open(localstore.Options{Dir: filepath.Join(cfg.DataDir, recordsDir), Region: policy.RegionID(cfg.Region), Keys: keys, Logger: log})
	if err != nil {
		return ScrubReport{}, fmt.Errorf("open record store: %w", err)
	}
	state, err := s.Scrub(ctx, localstore.ScrubOptions{Progress: func(p localstore.ScrubState) { progress(p.Share()) }})
	aside, asideErr := s.Aside()
	return ScrubReport{Checked: state.Checked, Corrupt: state.Corrupt, Aside: aside}, errors.Join(err, asideErr, s.Close())
}

// scrubbed is a record store as its scrubber sees it.
type scrubbed interface {
	Scrub(ctx context.Context, o sealed.ScrubOptions) (sealed.ScrubState, error)
	ScrubState() (sealed.ScrubState, error)
	Aside() (uint64, error)
}

// startScrubber keeps passes going in the background, on one node of the region.
func (n *Node) startScrubber(s scrubbed) {
	share := prometheus.NewGauge(prometheus.GaugeOpts{Name: "domicile_scrub_share", Help: "How much of the pass over everything stored is done, 0 to 1."})
	ended := prometheus.NewGauge(prometheus.GaugeOpts{Name: "domicile_scrub_last_end_timestamp_seconds", Help: "When the last whole pass ended; 0 before the first."})
	corrupt := prometheus.NewGauge(prometheus.GaugeOpts{Name: "domicile_scrub_corrupt_values", Help: "Values that the pass under way, or the last, found not to be what was written."})
	aside := prometheus.NewGauge(prometheus.GaugeOpts{Name: "domicile_store_aside_values", Help: "Damaged values whose bytes are kept aside."})
	n.registry.MustRegister(share, ended, corrupt, aside)
	tell := func(p sealed.ScrubState) {
		share.Set(p.Share())
		corrupt.Set(float64(p.Corrupt))
		if p.Corrupt > 0 {
			n.found.set(corruptValues, true)
		}
		if !p.Ended.IsZero() {
			ended.Set(float64(p.Ended.Unix()))
		}
		if kept, err := s.Aside(); err == nil {
			aside.Set(float64(kept))
		}
	}
	n.background("scrubber", lease.Scrub, func(ctx context.Context) {
		for ctx.Err() == nil {
			wait(ctx, n.scrubOnce(ctx, s, tell))
		}
	})
}

// scrubOnce makes a pass when it is time for one, and says how long there is
// nothing to do.
func (n *Node) scrubOnce(ctx context.Context, s scrubbed, tell func(sealed.ScrubState)) time.Duration {
	p, err := s.ScrubState()
	if err == nil {
		tell(p)
		if rest := time.Until(p.Ended.Add(n.cfg.ScrubInterval)); !p.Ended.IsZero() && rest > 0 {
			return rest
		}
		p, err = s.Scrub(ctx, sealed.ScrubOptions{BytesPerSecond: n.cfg.ScrubRate, Progress: tell})
	}
	switch {
	case ctx.Err() != nil:
		return 0
	case err != nil:
		n.log.Warn("what is stored could not be checked to the end; it goes on in a moment", "cause", err)
		return scrubRetry
	case p.Corrupt > 0:
		n.found.set(corruptValues, true)
		n.log.Error("what is stored was checked; some is not what was written", "checked", p.Checked, "corrupt", p.Corrupt)
	default:
		n.found.set(corruptValues, false)
		n.log.Info("what is stored was checked and is sound", "checked", p.Checked, "began", p.Began)
	}
	return n.cfg.ScrubInterval
}

// wait ends after d, or when ctx does.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
