package export

import (
	"context"
	"fmt"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// MaxCandidates bounds the memory of one window; a window that holds more is
// not judged but refused, and the operator shortens export_window.
const MaxCandidates = 1_000_000

// periodFormat names a pseudonym period: one month, UTC.
const periodFormat = "2006-01"

// candidates pseudonymises every call that was first acknowledged in a window.
// A call belongs to one window for ever: what is added to it later is never
// released again, so that no two releases can be compared.
func (e *Exporter) candidates(ctx context.Context, permit policy.Permit, from, until time.Time) ([]Candidate, error) {
	key, err := e.pseudonymKey(permit, until)
	if err != nil {
		return nil, err
	}
	var out []Candidate
	err = e.o.Store.Window(ctx, permit, from, until, func(c store.Call) error {
		if c.IngestedAt.Before(from) || !c.IngestedAt.Before(until) {
			return nil
		}
		if len(out) == MaxCandidates {
			return fmt.Errorf("a window holds more than %d calls; shorten export_window", MaxCandidates)
		}
		row, err := record.Pseudonymise(c.ID, &c.Record, key, permit)
		if err != nil {
			return err
		}
		out = append(out, Candidate{Row: row, Class: row.Class(), External: external(&c.Record).Subject})
		return nil
	})
	return out, err
}

// pseudonymKey is the secret of one (tenant, recipient, purpose, period); it
// never leaves the region's key service (invariants 13 and 14).
func (e *Exporter) pseudonymKey(permit policy.Permit, at time.Time) (*record.PseudonymKey, error) {
	scope := record.Scope{Tenant: permit.Tenant(), Recipient: permit.Recipient(), Purpose: permit.Purpose(), Period: at.UTC().Format(periodFormat)}
	secret, err := e.o.Keys.For(store.UseExport).Named(fmt.Sprintf("pseudonym/%s/%s/%s/%s", scope.Tenant, scope.Recipient, scope.Purpose, scope.Period))
	if err != nil {
		return nil, fmt.Errorf("pseudonym secret: %w", err)
	}
	return record.NewPseudonymKey(secret, scope)
}
