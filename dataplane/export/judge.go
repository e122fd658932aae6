package export

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/dataplane/peer"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/policy"
)

// judge looks at every window that has closed. A stale bundle leaves windows
// unjudged (the queue grows); any other refusal forfeits them, so that a later
// loosening never exports what was acknowledged before it.
func (e *Exporter) judge(ctx context.Context, lane Lane) error {
	e.judging.Lock()
	defer e.judging.Unlock()
	now := e.o.Now()
	if err := e.outbox(ctx).Begin(lane.Tenant, lane.Recipient.ID, now.Add(-2*time.Second).Truncate(e.o.Window)); err != nil {
		return err
	}
	s, err := e.o.Outbox.Stream(lane.Tenant, lane.Recipient.ID)
	if err != nil {
		return err
	}
	closed := now.Add(-e.grace()).Truncate(e.o.Window)
	if !closed.After(s.Judged) {
		return nil
	}
	permit, err := e.askToJudge(lane)
	if forfeits(err) {
		e.metrics.forfeited.Inc()
		note := WindowNote{Recipient: lane.Recipient.ID, From: s.Judged, Until: closed}
		return e.outbox(ctx).Judge(lane.Tenant, note, nil, nil)
	}
	if err != nil {
		return err
	}
	from, empty := s.Judged, false
	for n := 0; from.Before(closed) && n < maxWindows; n++ {
		until := from.Truncate(e.o.Window).Add(e.o.Window)
		if empty, err = e.window(ctx, lane, permit, from, until); err != nil {
			return err
		}
		from = until
	}
	if !empty {
		return nil
	}
	// One commit for a run of empty windows, also where a round ends within it.
	return e.outbox(ctx).Judge(lane.Tenant, WindowNote{Recipient: lane.Recipient.ID, From: s.Judged, Until: from}, nil, nil)
}

func (e *Exporter) grace() time.Duration { return min(max(e.o.Window/10, grace), maxGrace) }

// window judges one window and commits its outcome. An empty one commits nothing.
func (e *Exporter) window(ctx context.Context, lane Lane, permit policy.Permit, from, until time.Time) (empty bool, err error) {
	candidates, err := e.candidates(ctx, permit, from, until)
	if err != nil || len(candidates) == 0 {
		return true, err
	}
	released, suppressed := SingleOut(candidates, needed(lane.Recipient))
	note := WindowNote{Recipient: lane.Recipient.ID, From: from, Until: until, Released: len(released), Suppressed: shortened(suppressed)}
	kept := 0
	for _, s := range suppressed {
		kept += s.Rows
	}
	passed, stayed := len(released), kept
	var transfers []Transfer
	var payloads [][]byte
	for len(released) > 0 {
		n := min(len(released), peer.MaxRows)
		payload, sum, err := peer.Freeze(released[:n])
		if err != nil {
			return false, err
		}
		id, err := policy.NewID(policy.KindTransfer, rand.Reader)
		if err != nil {
			return false, err
		}
		transfers = append(transfers, Transfer{ID: id, Tenant: lane.Tenant, Recipient: lane.Recipient.ID, To: permit.To(),
			Purpose: permit.Purpose(), Basis: permit.Basis(), Revision: permit.Revision(), State: Queued, Rows: n,
			Needed: needed(lane.Recipient), Fields: record.ExportedFields(), Suppressed: kept, Bytes: len(payload), SHA256: peer.HashOf(sum), From: from, Until: until, CreatedAt: e.o.Now().UTC()})
		payloads = append(payloads, payload)
		released, kept = released[n:], 0
	}
	if err := e.outbox(ctx).Judge(lane.Tenant, note, transfers, payloads); err != nil {
		return false, err
	}
	e.metrics.judged(passed, stayed)
	return false, nil
}

// needed is how many distinct subjects a class must have to leave.
func needed(r policy.Recipient) int { return r.Threshold + r.Colluding }

// shortened keeps the largest classes and adds the rest up, so that a window of
// a million classes does not become a note of a million lines.
func shortened(all []Suppression) []Suppression {
	if len(all) <= maxSuppressions {
		return all
	}
	slices.SortStableFunc(all, func(a, b Suppression) int { return b.Rows - a.Rows })
	rest := Suppression{Class: OtherClasses, Needed: all[0].Needed}
	for _, s := range all[maxSuppressions-1:] {
		rest.Rows += s.Rows
		rest.Subjects = max(rest.Subjects, s.Subjects)
	}
	return append(slices.Clip(all[:maxSuppressions-1]), rest)
}

// askToJudge counts what waits against the caps, because it will be sent.
func (e *Exporter) askToJudge(lane Lane) (policy.Permit, error) {
	queued, err := e.o.Outbox.Queued(lane.Tenant)
	if err != nil {
		return policy.Permit{}, err
	}
	return e.ask(lane, queued)
}

// ask asks the gate, now. Beyond what left today, ahead more transfers of the
// tenant count against its caps.
func (e *Exporter) ask(lane Lane, ahead uint64) (policy.Permit, error) {
	sent, err := e.o.Outbox.SentOn(lane.Tenant, e.o.Now())
	if err != nil {
		return policy.Permit{}, err
	}
	return e.o.Gate.Check(gate.Question{Tenant: lane.Tenant, Op: policy.Export, Class: policy.CallRecord,
		Egress: policy.PseudonymisedExport, Recipient: lane.Recipient.ID, Purpose: lane.Recipient.Purpose,
		SentToday: sent + ahead, FieldsUnknown: len(record.Unclassified()) > 0})
}

// rulesOf lists the rules by which the gate refused.
func rulesOf(err error) []string {
	var e *policy.Error
	if !errors.As(err, &e) || e.Metadata["rules"] == "" {
		return nil
	}
	return strings.Split(e.Metadata["rules"], ",")
}

// forfeits tells a refusal by policy from doubt: doubt keeps the queue. So does
// the suspension of a tenant, which stops everything and takes nothing away.
func forfeits(err error) bool {
	if slices.Contains(rulesOf(err), policy.RuleTenantSuspended.String()) {
		return false
	}
	return errors.Is(err, &policy.Error{Reason: policy.EgressDenied}) || errors.Is(err, &policy.Error{Reason: policy.PermissionDenied})
}
