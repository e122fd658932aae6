package server

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane/intake"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

const kindQuarantined policy.IDKind = "QU"

const (
	maxReplay  = 10_000 // items of one replay
	replayPage = 100
)

// quarantine lists what could not be parsed, in order of the random ids.
func (x *exchange) quarantine() error {
	p := newParams(x.r.URL)
	size, token := p.pageSize(), p.take("page_token")
	if err := p.done(); err != nil {
		return err
	}
	permit, err := x.permit(policy.View, policy.CallRecord)
	if err != nil {
		return err
	}
	items, next, err := x.s.o.Store.Quarantines(x.r.Context(), permit, size, token)
	if err != nil {
		return err
	}
	out := data.Quarantine{Items: make([]data.Quarantined, 0, len(items)), NextPageToken: next}
	for _, q := range items {
		out.Items = append(out.Items, quarantinedForm(q))
	}
	return x.answer(http.StatusOK, out)
}

// replay parses quarantined payloads again: all, or those with the given ids,
// or one with a corrected payload. What parses is stored and leaves the
// quarantine; a crash in between leaves a duplicate, which is none.
func (x *exchange) replay() error {
	if err := newParams(x.r.URL).done(); err != nil {
		return err
	}
	var in data.Replay
	if err := x.decode(&in); err != nil {
		return err
	}
	if err := checkReplay(in); err != nil {
		return err
	}
	replaces := in.Payload != nil // the one that came is destroyed
	if replaces {
		if err := x.destroy(x.r.Context(), ofNoCall, func(context.Context) error { return nil }); err != nil {
			return err
		}
	}
	if len(in.IDs) > 0 { // nothing is done when an id is wrong
		found := 0
		if err := x.scan(in.IDs, func(store.Quarantined) error { found++; return nil }); err != nil {
			return err
		}
		if found < len(in.IDs) {
			return policy.Errorf(policy.NotFound, "some of the ids are not in quarantine; list it and send those that are")
		}
	}
	var out data.Replayed
	err := x.scan(in.IDs, func(q store.Quarantined) error {
		if in.Payload != nil {
			q.Payload = in.Payload
		}
		done, err := x.replayOne(q, replaces)
		if errors.Is(err, &policy.Error{Reason: policy.Destroyed}) {
			return nil // by an erasure, meanwhile: it was neither replayed nor does it remain
		}
		if done {
			out.Replayed++
		} else {
			out.Remaining++
		}
		return err
	})
	if err != nil {
		return err
	}
	return x.answer(http.StatusOK, out)
}

func checkReplay(in data.Replay) error {
	var bad []policy.FieldError
	if len(in.IDs) > maxPageSize {
		bad = append(bad, policy.FieldError{Field: "ids", Message: "has more than 1000 ids"})
	}
	if slices.Sort(in.IDs); len(slices.Compact(slices.Clone(in.IDs))) != len(in.IDs) {
		bad = append(bad, policy.FieldError{Field: "ids", Message: "names an id more than once"})
	}
	for _, id := range in.IDs {
		if !policy.ValidID(kindQuarantined, id) {
			bad = append(bad, policy.FieldError{Field: "ids", Message: "must each be QU and 32 hex digits"})
			break
		}
	}
	if in.Payload != nil && len(in.IDs) != 1 {
		bad = append(bad, policy.FieldError{Field: "payload", Message: "needs exactly one id, whose payload it replaces"})
	}
	return invalid(bad)
}

// scan visits the items with the given ids, or all, page by page: a payload may
// be megabytes, so they are never all in memory. It visits at most maxReplay.
func (x *exchange) scan(ids []string, visit func(store.Quarantined) error) error {
	visited := 0
	for token := ""; ; {
		permit, err := x.permit(policy.View, policy.CallRecord)
		if err != nil {
			return err
		}
		page, next, err := x.s.o.Store.Quarantines(x.r.Context(), permit, replayPage, token)
		if err != nil {
			return err
		}
		for _, q := range page {
			if len(ids) > 0 && !slices.Contains(ids, q.ID) {
				continue
			}
			if err := visit(q); err != nil {
				return err
			}
			if visited++; visited == maxReplay || visited == len(ids) {
				return nil
			}
		}
		if next == "" {
			return nil
		}
		token = next
	}
}

// replayOne reports whether an item left the quarantine: only when all of its
// payload parses. One that replaces what came destroys that, which a hold may forbid.
func (x *exchange) replayOne(q store.Quarantined, replaces bool) (bool, error) {
	ctx, cancel := x.detached(appendTimeout)
	defer cancel()
	var recs []record.Record
	broken := false
	take := func(it intake.Item) error {
		if it.Err != nil {
			broken = true
		} else {
			recs = append(recs, it.Record)
		}
		return nil
	}
	parseErr := x.parseAgain(ctx, q, take)
	if parseErr != nil || broken || len(recs) == 0 {
		return false, nil // its problem has not changed
	}
	if err := x.replayable(ctx, q.ID, nil); err != nil {
		return false, err
	}
	permit, err := x.permit(policy.Ingest, policy.CallRecord)
	if err != nil {
		return false, err
	}
	got, err := x.s.o.Store.Append(ctx, permit, recs)
	if err != nil {
		return false, err
	}
	if err := x.replayable(ctx, q.ID, got); err != nil {
		return false, err
	}
	remove, err := x.permit(reprocess.op, reprocess.class)
	if err != nil {
		return false, err
	}
	leave := func(ctx context.Context) error { return x.s.o.Store.Unquarantine(ctx, remove, q.ID) }
	if replaces {
		err = x.destroy(ctx, ofNoCall, leave)
	} else {
		err = leave(ctx)
	}
	if err != nil {
		return false, err
	}
	if err := x.stillHome(permit); err != nil {
		return false, err
	}
	var t tally
	for _, a := range got {
		t.add(a)
	}
	x.s.metrics.took(q.Source, t)
	return true, nil
}

// ofNoCall names the call of what belongs to none.
func ofNoCall() (string, error) { return "", nil }

// replayable refuses to bring back what an erasure has taken since the payload was
// read; what of it is stored already goes again.
func (x *exchange) replayable(ctx context.Context, payload string, got []store.Appended) error {
	if x.s.o.Subjects == nil {
		return nil
	}
	var stored []string
	for _, a := range got {
		if a.State == store.Stored {
			stored = append(stored, a.ID)
		}
	}
	return x.s.o.Subjects.Replayable(ctx, x.who.Tenant, payload, stored)
}

func (x *exchange) parseAgain(ctx context.Context, q store.Quarantined, take func(intake.Item) error) error {
	if q.Source == record.Native {
		return intake.NDJSON(ctx, x.s.nativeSettings(), bytes.NewReader(q.Payload), take)
	}
	settings, err := x.settingsOf(ctx, origin{source: q.Source, instance: q.Instance})
	if err != nil {
		return err
	}
	return intake.Feed(ctx, x.s.intakeSettings(settings), q.Path, q.ContentType, bytes.NewReader(q.Payload), take)
}
