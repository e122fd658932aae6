package export

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/policy"
)

// An outbox that is put back from a backup has forgotten what it sent since. Of a
// call that was acknowledged in the time of which it knows nothing, rows may have
// left by a transfer that it does not name; so receivers are told of every such
// call that is erased, whether they have it or not.

// lose notes that nothing is known of what left from a stream's last window on
// until at.
func (s *Stream) lose(at time.Time) {
	if s.LostUntil.IsZero() || s.Judged.Before(s.LostFrom) { // a stream of which nothing was judged lost all of its time
		s.LostFrom = s.Judged
	}
	if at.After(s.LostUntil) {
		s.LostUntil = at
	}
}

// loseAll does so for every stream.
func (o *Outbox) loseAll(at time.Time) error {
	var lanes []Lane
	err := o.streams("", func(l Lane, _ Stream) error { lanes = append(lanes, l); return nil })
	for _, l := range lanes {
		if err == nil {
			err = o.edit(l.Tenant, l.Recipient.ID, func(_ shelf.Tx, s *Stream) error { s.lose(at); return nil })
		}
	}
	return err
}

// lostLairs are the places where rows of calls may be of which the outbox has lost
// the transfers, by the newest transfer of each stream that it knows.
func (e *Exporter) lostLairs(ctx context.Context, t policy.TenantID, calls []Gone) (out []lair, err error) {
	lost := map[policy.RecipientID]Stream{}
	err = e.o.Outbox.streams(string(t)+"/", func(l Lane, s Stream) error {
		if !s.LostUntil.IsZero() {
			lost[l.Recipient.ID] = s
		}
		return nil
	})
	if err != nil || len(lost) == 0 {
		return nil, err
	}
	ways, err := e.ways(t)
	if err != nil {
		return nil, err
	}
	for id, s := range lost {
		way, ok := ways[id]
		if !ok {
			continue // nothing ever left on this stream, by what anybody knows
		}
		rows := map[string]map[string]bool{} // by period
		for _, c := range calls {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if c.Ingested.Before(s.LostFrom) || !c.Ingested.Before(s.LostUntil) {
				continue
			}
			period := c.Ingested.Truncate(e.o.Window).Add(e.o.Window).UTC().Format(periodFormat)
			row, err := e.rowOf(record.Scope{Tenant: t, Recipient: id, Purpose: way.Purpose, Period: period}, c.Call)
			if err != nil {
				return nil, err
			}
			if rows[period] == nil {
				rows[period] = map[string]bool{}
			}
			rows[period][row] = true
		}
		for _, of := range rows {
			out = append(out, lair{x: Transfer{Tenant: t, Recipient: id, To: way.To, Purpose: way.Purpose, Basis: way.Basis}, rows: of})
		}
	}
	return out, nil
}

// rowOf is the pseudonym of a call in a scope.
func (e *Exporter) rowOf(scope record.Scope, call string) (string, error) {
	secret, err := e.o.Keys.Named(fmt.Sprintf("pseudonym/%s/%s/%s/%s", scope.Tenant, scope.Recipient, scope.Purpose, scope.Period))
	if err != nil {
		return "", fmt.Errorf("pseudonym secret: %w", err)
	}
	key, err := record.NewPseudonymKey(secret, scope)
	if err != nil {
		return "", err
	}
	return key.Tombstone(call)
}

// ways gives for each recipient of a tenant where its rows go: by its newest
// transfer, else by the policy.
func (e *Exporter) ways(t policy.TenantID) (map[policy.RecipientID]Transfer, error) {
	lanes := map[policy.RecipientID]Transfer{}
	for _, l := range e.lanes() {
		if l.Tenant == t {
			lanes[l.Recipient.ID] = Transfer{To: l.Recipient.Region, Purpose: l.Recipient.Purpose}
		}
	}
	var out map[policy.RecipientID]Transfer
	err := e.o.Outbox.shelf.View(func(tx shelf.Tx) error {
		out = maps.Clone(lanes)
		return tx.Ascend(bucketTransfers, []byte(string(t)+"/"), nil, func(_, v []byte) error {
			x, err := transferIn(v)
			if err == nil && x.To != "" && !x.CreatedAt.Before(out[x.Recipient].CreatedAt) {
				out[x.Recipient] = x
			}
			return err
		})
	})
	return out, err
}
