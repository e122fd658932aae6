package server

import (
	"net/http"
	"time"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane/intake"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/telemetry"
	"github.com/domicile-io/domicile/policy"
)

// nativeInstance is the instance of records that come in the native form: one
// and batch are the same source, so that one deduplicates the other.
const nativeInstance = "api"

// endOfTime stands for an absent end, so that every page of a list asks for
// the same span.
var endOfTime = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)

func (s *Server) nativeSettings() intake.Settings {
	return intake.Settings{Source: record.Native, Instance: nativeInstance, Location: time.UTC,
		DefaultCountry: s.o.DefaultCountry, AssumedCountry: true, Numbers: s.numbers}
}

// createCall stores one record. It is durable when this answers 201.
func (x *exchange) createCall() error {
	if err := newParams(x.r.URL).done(); err != nil {
		return err
	}
	if err := x.wantJSON(); err != nil {
		return err
	}
	raw, err := x.whole()
	if err != nil {
		return err
	}
	rec, err := intake.Native(x.s.nativeSettings(), raw)
	if err != nil {
		return err
	}
	permit, err := x.permit(policy.Ingest, policy.CallRecord)
	if err != nil {
		return err
	}
	ctx, cancel := x.detached(appendTimeout)
	defer cancel()
	ctx, span := telemetry.Start(ctx, telemetry.Append)
	span.Records(record.Native, 1)
	got, err := x.s.o.Store.Append(ctx, permit, []record.Record{rec})
	span.EndWith(err)
	if err != nil {
		return err
	}
	if err := x.stillHome(permit); err != nil {
		return err
	}
	var t tally
	t.add(got[0])
	x.s.metrics.took(record.Native, t)
	x.w.Header().Set("Location", "/v1/calls/"+got[0].ID)
	return x.answer(http.StatusCreated, data.Created{ID: got[0].ID, State: string(got[0].State), Receipt: got[0].Receipt})
}

// batch stores a stream of native records.
func (x *exchange) batch() error {
	if err := newParams(x.r.URL).done(); err != nil {
		return err
	}
	if _, err := x.permit(policy.Ingest, policy.CallRecord); err != nil {
		return err // before the body is asked for
	}
	body, err := x.body(maxBatchBody)
	if err != nil {
		return err
	}
	defer body.Close()
	from := origin{source: record.Native, instance: nativeInstance}
	t, err := x.ingest(from, func(yield func(intake.Item) error) error {
		return intake.NDJSON(x.r.Context(), x.s.nativeSettings(), body, yield)
	})
	if err != nil {
		return err
	}
	return x.answer(http.StatusOK, t.form())
}

// listCalls answers calls between two times, oldest first, by status and direction.
func (x *exchange) listCalls() error {
	p := newParams(x.r.URL)
	q := p.calls()
	q.PageSize, q.PageToken = p.pageSize(), p.take("page_token")
	if err := p.done(); err != nil {
		return err
	}
	return x.answerPage(q)
}

// searchCalls finds calls of one number; it stands in the body, because URLs
// are logged by whatever stands in between.
func (x *exchange) searchCalls() error {
	p := newParams(x.r.URL)
	if err := p.done(); err != nil {
		return err
	}
	var in data.Search
	if err := x.decode(&in); err != nil {
		return err
	}
	q := store.Query{Number: in.Number, PageSize: in.PageSize, PageToken: in.PageToken, End: endOfTime}
	if in.Start != nil {
		q.Start = in.Start.UTC()
	}
	if in.End != nil {
		q.End = in.End.UTC()
	}
	if in.PageSize == 0 {
		q.PageSize = defaultPageSize
	}
	switch {
	case in.Number == "":
		p.fail("number", "is required")
	case len(in.Number) > maxNumber:
		p.fail("number", "is too long")
	}
	if q.PageSize < 1 || q.PageSize > maxPageSize {
		p.fail("page_size", "is not a whole number from 1 to 1000")
	}
	if !q.Start.IsZero() && !q.Start.Before(q.End) {
		p.fail("start", "is not before end")
	}
	if err := invalid(p.bad); err != nil {
		return err
	}
	if party := x.s.numbers.Party(in.Number, x.s.o.DefaultCountry); party.E164 != "" {
		q.Number = party.E164
	}
	return x.answerPage(q)
}

const maxNumber = 256 // bytes of a number or address in a search

func (x *exchange) answerPage(q store.Query) error {
	page, revision, err := x.page(q)
	if err != nil {
		return err
	}
	out := data.Calls{Calls: make([]data.Call, 0, len(page.Calls)), NextPageToken: page.NextPageToken, Corrupt: page.Corrupt}
	for i := range page.Calls {
		out.Calls = append(out.Calls, callForm(&page.Calls[i], string(x.s.o.Region), revision))
	}
	return x.answer(http.StatusOK, out)
}

// page decides and reads one page.
func (x *exchange) page(q store.Query) (store.Page, uint64, error) {
	permit, err := x.permit(policy.View, policy.CallRecord)
	if err != nil {
		return store.Page{}, 0, err
	}
	page, err := x.s.o.Store.List(x.r.Context(), permit, q)
	return page, permit.Revision(), err
}

// call answers one call; a foreign id and an absent one look the same.
func (x *exchange) call() error {
	if err := newParams(x.r.URL).done(); err != nil {
		return err
	}
	id := x.r.PathValue("id")
	if !policy.ValidID(policy.KindCall, id) {
		return policy.Errorf(policy.NotFound, "there is no such call")
	}
	permit, err := x.permit(policy.View, policy.CallRecord)
	if err != nil {
		return err
	}
	c, err := x.s.o.Store.Call(x.r.Context(), permit, id)
	if err != nil {
		return err
	}
	out := callForm(&c, string(x.s.o.Region), permit.Revision())
	if x.s.o.Media != nil {
		if out.RecordingIDs, out.TranscriptIDs, err = x.s.o.Media.OfCall(x.r.Context(), x.permit, id); err != nil {
			return err
		}
	}
	return x.answer(http.StatusOK, out)
}

// deleteCall destroys a call and all that it has.
func (x *exchange) deleteCall() error {
	if err := newParams(x.r.URL).done(); err != nil {
		return err
	}
	if err := x.destroyCall(x.r.PathValue("id")); err != nil {
		return err
	}
	return x.nothingMore()
}

func (x *exchange) destroyCall(id string) error {
	service, err := x.subjects()
	if err != nil {
		return err
	}
	ctx, cancel := x.detached(appendTimeout)
	defer cancel()
	return service.DeleteCall(ctx, x.who.Tenant, id)
}

// rollups answers a day's counters; without a day, today's (UTC).
func (x *exchange) rollups() error {
	p := newParams(x.r.URL)
	day := p.day("day")
	if err := p.done(); err != nil {
		return err
	}
	if day == "" {
		day = x.s.now().UTC().Format(time.DateOnly)
	}
	permit, err := x.permit(policy.View, policy.CallRecord)
	if err != nil {
		return err
	}
	rows, err := x.s.o.Store.Rollups(x.r.Context(), permit, day, day)
	if err != nil {
		return err
	}
	out := data.Rollups{Rollups: make([]data.Rollup, 0, len(rows))}
	for _, r := range rows {
		out.Rollups = append(out.Rollups, rollupForm(r))
	}
	return x.answer(http.StatusOK, out)
}
