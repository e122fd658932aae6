package subject

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Run works on every erasure until ctx ends: first what a restored store lacks,
// then what is pending, then what waits to become final.
func (s *Service) Run(ctx context.Context, tenants func() []policy.TenantID) {
	for ctx.Err() == nil {
		if err := s.Round(ctx, tenants()); err != nil && ctx.Err() == nil {
			s.log.Warn("erasures are not finished here; they are tried again", "cause", err)
		}
		wait, cancel := context.WithTimeout(ctx, s.o.Retry)
		select {
		case <-wait.Done():
		case <-s.wake:
		}
		cancel()
	}
}

// Round does once what Run does.
func (s *Service) Round(ctx context.Context, tenants []policy.TenantID) error {
	var all error
	for _, t := range tenants {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := s.tenant(ctx, t); err != nil {
			all = errors.Join(all, fmt.Errorf("tenant %s: %w", t, err))
		}
	}
	return all
}

func (s *Service) tenant(ctx context.Context, t policy.TenantID) error {
	s.working.Lock()
	defer s.working.Unlock()
	if err := s.guard.Apply(ctx, t); err != nil {
		return err
	}
	unfinished := s.finishDeletions(ctx, t)
	var open []*job
	err := s.jobs(ctx, t, func(j *job) error {
		if j.Certificate.State != Final {
			open = append(open, j)
		}
		return nil
	})
	for _, j := range open {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if jobErr := s.work(ctx, j); jobErr != nil {
			err = errors.Join(err, fmt.Errorf("certificate %s: %w", j.Certificate.ID, jobErr))
		}
	}
	return errors.Join(unfinished, err)
}

// work takes a job as far as it goes now.
func (s *Service) work(ctx context.Context, j *job) error {
	if j.Certificate.State == Pending {
		defer s.o.Room()()
	}
	for j.Certificate.State == Pending {
		err := s.advance(ctx, j)
		if errors.Is(err, &policy.Error{Reason: policy.ETagMismatch}) {
			return nil // whoever took it in, or another node, is carrying it on
		}
		if err != nil {
			s.trouble(ctx, j, err)
			return err
		}
	}
	if j.Certificate.State == Executed {
		return s.conclude(ctx, j)
	}
	return nil
}

// trouble tells in the certificate that a step failed, by a code: causes may
// name what they are about. The job stays where it was.
func (s *Service) trouble(ctx context.Context, j *job, cause error) {
	reason := string(policy.Internal)
	var e *policy.Error
	if errors.As(cause, &e) {
		reason = string(e.Reason)
	}
	at, err := s.job(ctx, j.Tenant, j.Certificate.ID)
	if err != nil || at.Certificate.Problem == reason {
		return
	}
	at.Certificate.Problem = reason
	if err := s.save(ctx, at); err != nil {
		s.log.Warn("what is wrong with an erasure could not be noted", "certificate", at.Certificate.ID, "cause", err)
	}
}

// guard keeps a store that was put back from a backup from serving what it
// should have forgotten (invariant 22).
type guard struct {
	service *Service

	mu    sync.Mutex
	clear map[policy.TenantID]bool // compared with the ledger by this process, and nothing is missing
}

// Serves is nil when a tenant's data may be shown: the store has every erasure
// of the ledger, and the ledger every erasure of the store.
func (s *Service) Serves(ctx context.Context, t policy.TenantID) error {
	g := &s.guard
	g.mu.Lock()
	known := g.clear[t]
	g.mu.Unlock()
	if known {
		return nil
	}
	missing, err := g.missing(ctx, t)
	if err != nil {
		return err
	}
	deleted, err := g.undeleted(ctx, t)
	if err != nil {
		return err
	}
	if n := len(missing) + len(deleted); n > 0 {
		s.nudge()
		return policy.Errorf(policy.NotReady, "the record store was put back from a backup and lacks %d erasures, which are applied again before anything is shown; try again in a moment", n)
	}
	g.pass(t)
	return nil
}

// Restored is for whoever puts a store back while the process runs: every
// tenant is compared with the ledger again before it is shown anything.
func (s *Service) Restored() {
	s.guard.mu.Lock()
	clear(s.guard.clear)
	s.guard.mu.Unlock()
	s.nudge()
}

func (g *guard) pass(t policy.TenantID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.clear == nil {
		g.clear = map[policy.TenantID]bool{}
	}
	g.clear[t] = true
}

// missing lists the ledger's entries that the store knows no certificate of. An
// error when the store knows one that the ledger does not: then the ledger is
// the one that was lost or put back, and what it lacks cannot be applied.
func (g *guard) missing(ctx context.Context, t policy.TenantID) (out []Intent, err error) {
	s := g.service
	// The ledger is read before the store and again after it: an erasure that
	// another node begins meanwhile is missing in neither.
	entries, err := s.o.Ledger.Since(t, 0)
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	last := uint64(0)
	err = s.jobs(ctx, t, func(j *job) error {
		known[j.Certificate.ID] = true
		last = max(last, j.Certificate.Entry)
		return nil
	})
	if err != nil {
		return nil, err
	}
	have, err := s.o.Ledger.Last(t)
	if err != nil {
		return nil, err
	}
	if last > have {
		return nil, policy.Errorf(policy.NotReady, "the erasure ledger of this node is older than its record store: put it back from its copy, because a backup of the records would bring back what only it knows to be erased")
	}
	for _, in := range entries {
		if in.Certificate != "" && !known[in.Certificate] {
			out = append(out, in)
		}
	}
	return out, nil
}

// Apply makes jobs of what a restored store lacks, and carries them out. The
// caller holds s.working.
func (g *guard) Apply(ctx context.Context, t policy.TenantID) error {
	s := g.service
	g.mu.Lock()
	known := g.clear[t]
	g.mu.Unlock()
	if known {
		return nil
	}
	missing, err := g.missing(ctx, t)
	if err != nil {
		return err
	}
	again := map[string]*job{}
	var order []*job
	for _, in := range missing {
		j := again[in.Certificate]
		if j == nil {
			if j, err = s.newJob(t, nil, nil); err != nil {
				return err
			}
			j.Certificate.ID, j.Certificate.Created = in.Certificate, in.Time
			j.Certificate.Entry, j.Step = in.N, stepUnlink
			j.Certificate.Restored = []time.Time{s.now().UTC()}
			again[in.Certificate] = j
			order = append(order, j)
		}
		if len(in.Owners) > 0 {
			j.Owners, j.Certificate.Owners = in.Owners, OwnerForms(in.Owners)
		}
		j.Items = append(j.Items, in.Quarantined...)
	}
	if len(order) > 0 {
		defer s.o.Room()()
	}
	for _, j := range order {
		s.log.Warn("the record store was put back from a backup; an erasure is applied again", "tenant", string(t), "certificate", j.Certificate.ID)
		if err := s.reapply(ctx, j); err != nil {
			return err
		}
	}
	if err := g.deleteAgain(ctx, t); err != nil {
		return err
	}
	g.pass(t)
	return nil
}

// reapply carries out a job without writing it down before it is executed: cut
// short, the whole is done again.
func (s *Service) reapply(ctx context.Context, j *job) error {
	permit, err := s.permit(j.Tenant, policy.Erase, policy.CallRecord)
	if err != nil {
		return err
	}
	forgotten, err := forgottenIn(s.o.Ledger, j.Tenant)
	if err != nil {
		return err
	}
	lost, err := s.o.Store.Mend(tell(ctx, j.Tenant, "store.mend", j.Certificate.ID, nil), permit, forgotten)
	if err != nil {
		return fmt.Errorf("let go of what stands under destroyed keys: %w", err)
	}
	if lost > 0 {
		s.log.Warn("calls of the backup stood under keys that an erasure destroyed since; bring those of others in again from their sources", "tenant", string(j.Tenant), "calls", lost)
	}
	if err := s.unlink(ctx, j); err != nil {
		return err
	}
	for done := false; !done; {
		var err error
		if done, err = s.applyPage(ctx, j); err != nil {
			return err
		}
	}
	if _, err := s.quarantine(ctx, j); err != nil {
		return err
	}
	if err := s.forget(j); err != nil {
		return err
	}
	if err := s.execute(j); err != nil {
		return err
	}
	j.Step = stepExecuted.next()
	return s.save(tell(ctx, j.Tenant, "erasure.repeat", j.Certificate.ID, j.Certificate.Counts), j)
}

// applyPage is page without its journal: after a restore, calls that were
// redacted and not yet taken out of exports are taken out by the older job's
// own tombstones, which lie with the exports.
func (s *Service) applyPage(ctx context.Context, j *job) (bool, error) {
	if err := s.nextPage(ctx, j, func(*store.Call) (bool, error) { return false, nil }); err != nil || len(j.Page) == 0 {
		return err == nil, err
	}
	return false, s.erasePage(ctx, j)
}
