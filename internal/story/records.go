package story

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"net/url"
	"text/template"
	"time"

	"github.com/google/uuid"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/api/data"
)

//go:embed records
var recordFiles embed.FS

// numbers fill the record files of one tenant.
type numbers struct{ Caller, Called, Busy, Local string }

// What the record files hold: calls of the day that the files name.
const (
	day            = "2026-03-14"
	callsPerTenant = 6 // FreeSWITCH 1, Kamailio 2 (of 3 events), Asterisk 2, Twilio 1
)

// feeds are the record files as their sources would post them.
var feeds = []struct {
	source, name, file, contentType string
	query                           url.Values
}{
	{"freeswitch", "sbc1", "freeswitch.cdr.json", "application/json", url.Values{"uuid": {"6f1c2d3e-4b5a-4c6d-9e7f-80a1b2c3d4e5"}}},
	{"kamailio", "edge", "kamailio.jsonl", "application/json", nil},
	{"asterisk", "pbx", "asterisk-Master.csv", "text/csv", nil},
	{"twilio", "hook", "twilio-status-callback.form", "application/x-www-form-urlencoded", nil},
}

// bringIn posts the record files of each tenant to its home, and the generated calls of the Irish one.
func (t *teller) bringIn(ctx context.Context) error {
	for _, h := range t.homes {
		settings := data.FeedSettings{TimeZone: h.zone, DefaultCountry: h.country}
		if _, err := h.client.PutFeedSettings(ctx, "asterisk", "pbx", settings); err != nil && !notYet(err) {
			return fmt.Errorf("set the PBX's time zone: %w", err)
		}
		total, err := t.postFiles(ctx, h)
		if err != nil {
			return err
		}
		if err := t.check(total.Quarantined == 0 && total.Accepted+total.Duplicates > 0,
			"%s: FreeSWITCH, Kamailio, Asterisk and Twilio posted; %d accepted, %d known already, none in quarantine", h.region, total.Accepted, total.Duplicates); err != nil {
			return err
		}
		calls, err := callsOfDay(ctx, h)
		if err != nil {
			return err
		}
		if err := t.check(len(calls) == callsPerTenant, "%s shows %d calls of %s: events of one call are one call", h.slug, len(calls), day); err != nil {
			return err
		}
	}
	if err := t.generate(ctx, t.homes[0]); err != nil {
		return err
	}
	t.command("records list --start %s --end 2026-03-15", day)
	return nil
}

func (t *teller) postFiles(ctx context.Context, h *home) (data.Counts, error) {
	var total data.Counts
	for _, f := range feeds {
		body, err := fill(f.file, h)
		if err != nil {
			return total, err
		}
		n, err := h.client.Feed(ctx, f.source, f.name, client.Upload{Body: bytes.NewReader(body), ContentType: f.contentType, Query: f.query})
		if err != nil {
			return total, fmt.Errorf("%s record to %s: %w", f.source, h.region, err)
		}
		total.Accepted += n.Accepted
		total.Duplicates += n.Duplicates
		total.Quarantined += n.Quarantined
	}
	return total, nil
}

// fill puts a tenant's numbers into a record file.
func fill(file string, h *home) ([]byte, error) {
	tmpl, err := template.ParseFS(recordFiles, "records/"+file)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	var b bytes.Buffer
	err = tmpl.Execute(&b, struct {
		numbers
		Region string
	}{h.numbers, h.region})
	return b.Bytes(), err
}

func callsOfDay(ctx context.Context, h *home) ([]data.Call, error) {
	start, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return nil, err
	}
	var calls []data.Call
	err = h.client.AllCalls(ctx, client.Filter{Start: start, End: start.AddDate(0, 0, 1), PageSize: 100}, func(c data.Call) error {
		calls = append(calls, c)
		return nil
	})
	return calls, err
}

// generated is what one telling added to the Irish tenant, so that one class
// of rows is large enough to leave and one is not.
type generated struct {
	began           time.Time // just before they were sent
	hour            time.Time // in which all of them start
	calls           []data.NewCall
	passes, crowd   int // rows of the class that passes, and its distinct callers
	withheld, alone int // rows of the class that does not, and its distinct callers
}

// makeGenerated draws 200 answered calls of one hour: 180 from 60 Irish
// callers, 20 from 5 London ones. The gate wants 10 + 3 distinct callers.
func makeGenerated(hour time.Time, called string) generated {
	g := generated{hour: hour, passes: 180, crowd: 60, withheld: 20, alone: 5}
	telling := uuid.NewString()
	for i := range g.passes + g.withheld {
		from := fmt.Sprintf("+353191001%02d", i%g.crowd)
		if i >= g.passes {
			from = fmt.Sprintf("+4420794600%02d", i%g.alone)
		}
		start := hour.Add(time.Duration(i) * 15 * time.Second)
		answer, end := start.Add(4*time.Second), start.Add(time.Duration(94+i%60)*time.Second)
		g.calls = append(g.calls, data.NewCall{NativeID: fmt.Sprintf("%s-%d", telling, i), From: from, To: called, Direction: "inbound",
			Status: "completed", StartTime: &start, AnswerTime: &answer, EndTime: &end, SIPCode: 200})
	}
	return g
}

// generate posts them as one NDJSON batch.
func (t *teller) generate(ctx context.Context, h *home) error {
	t.generated = makeGenerated(time.Date(2026, 3, 16, 10, 0, 0, 0, time.UTC), h.numbers.Called)
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for _, c := range t.generated.calls {
		if err := enc.Encode(c); err != nil {
			return err
		}
	}
	t.generated.began = time.Now()
	n, err := h.client.Batch(ctx, client.Upload{Body: &b})
	if err != nil {
		return fmt.Errorf("generated calls: %w", err)
	}
	return t.check(n.Accepted == len(t.generated.calls), "%s took in %d generated calls besides, from %d Irish callers and %d in London",
		h.region, n.Accepted, t.generated.crowd, t.generated.alone)
}

// rollups compares the region's counters with the calls themselves.
func (t *teller) rollups(ctx context.Context) error {
	h := t.homes[0]
	out, err := h.client.Rollups(ctx, day)
	if err != nil {
		return err
	}
	var calls, answered int64
	for _, r := range out.Rollups {
		calls += r.Calls
		answered += r.Answered
		t.Screen.Line("      %-9s %-3s %3d calls %3d answered %7.1f minutes", orDash(r.Direction), orDash(r.Country), r.Calls, r.Answered, r.Minutes)
	}
	if err := t.check(calls == callsPerTenant && answered > 0 && answered < calls,
		"the counters of %s in %s agree with its calls: %d, of which %d were answered", day, h.region, calls, answered); err != nil {
		return err
	}
	_, err = t.homes[1].client.Rollups(ctx, day)
	if err != nil {
		return err
	}
	t.command("rollups --day %s", day)
	return nil
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
