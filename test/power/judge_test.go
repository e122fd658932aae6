package power

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/api/data"
)

const judgeLimit = 60 * time.Second

// judge holds what is there against the book. It repeats what is refused while a
// node is still starting, and nothing else.
type judge struct {
	who    string // the tenant
	s      *site
	book   *book
	region *client.Region
	aged   *client.Region
}

func (j *judge) ctx() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), judgeLimit)
}

// calls reads all calls of a day.
func (j *judge) calls(day time.Time) (out []data.Call, err error) {
	ctx, cancel := j.ctx()
	defer cancel()
	var body io.ReadCloser
	for {
		body, err = j.region.ExportCalls(ctx, "ndjson", client.Filter{Start: day, End: day.AddDate(0, 0, 1)})
		if err == nil || ctx.Err() != nil || !unready(err) {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read the calls of %s: %w", day.Format(time.DateOnly), err)
	}
	for dec := json.NewDecoder(body); ; {
		var c data.Call
		if err := dec.Decode(&c); errors.Is(err, io.EOF) {
			return out, body.Close()
		} else if err != nil {
			return nil, errors.Join(fmt.Errorf("read the calls of %s: %w", day.Format(time.DateOnly), err), body.Close())
		}
		out = append(out, c)
	}
}

// unready reports a refusal of a node that has only just started.
func unready(err error) bool {
	return strings.Contains(err.Error(), "UNAVAILABLE") || strings.Contains(err.Error(), "POLICY_STALE") || strings.Contains(err.Error(), "starting") || strings.Contains(err.Error(), "hear")
}

// round judges everything of one round.
func (j *judge) round(r *round, thorough bool) error {
	calls, err := j.calls(r.day())
	if err != nil {
		return err
	}
	there := map[string]*data.Call{}
	for i := range calls {
		c := &calls[i]
		if there[c.NativeID] != nil {
			return fmt.Errorf("%s is there twice", c.NativeID)
		}
		there[c.NativeID] = c
	}
	if err := j.rollups(r.day(), calls); err != nil {
		return err
	}
	seen := 0
	for n, k := range r.calls {
		want := j.book.call(r, n)
		got := there[want.NativeID]
		switch {
		case got == nil && k == acknowledged:
			return fmt.Errorf("call %d of round %d was acknowledged and is not there", n, r.n)
		case got == nil:
			continue
		}
		if err := same(got, &want); err != nil {
			return fmt.Errorf("call %d of round %d is %w", n, r.n, err)
		}
		if id, ok := r.answers[n]; ok && id != got.ID {
			return fmt.Errorf("call %d of round %d has another id than it was acknowledged with", n, r.n)
		}
		seen++
	}
	merged, err := j.merged(r, there)
	if err != nil {
		return err
	}
	if seen+merged != len(calls) {
		return fmt.Errorf("round %d has %d calls, of which nobody sent %d", r.n, len(calls), len(calls)-seen-merged)
	}
	if err := j.persons(r); err != nil || !thorough {
		return err
	}
	return errors.Join(j.recordings(r), j.again(r))
}

// merged judges the calls of which Kamailio told in two events.
func (j *judge) merged(r *round, there map[string]*data.Call) (seen int, err error) {
	for n, k := range r.merged {
		c := there[fmt.Sprintf("k%d-%d", r.n, n)]
		if c == nil {
			if k == acknowledged {
				return 0, fmt.Errorf("Kamailio's call %d of round %d was acknowledged and is not there", n, r.n)
			}
			continue
		}
		seen++
		billed := r.billed[n]
		two := c.Versions == 2 && c.DurationMS == 9000
		if !two && (billed == acknowledged || c.Versions != 1) || two && billed == unsent {
			return 0, fmt.Errorf("Kamailio's call %d of round %d has %d events and %d ms; its cdr is %v", n, r.n, c.Versions, c.DurationMS, billed)
		}
	}
	return seen, nil
}

// rollups are what the calls that are there add up to.
func (j *judge) rollups(day time.Time, calls []data.Call) error {
	type cell struct{ direction, country string }
	type sums struct {
		calls, answered int64
		seconds         int64
	}
	want := map[cell]sums{}
	for i := range calls {
		c := &calls[i]
		country := c.From.Country
		if c.Direction == "outbound" {
			country = c.To.Country
		} else if c.Direction != "inbound" {
			country = ""
		}
		k := cell{c.Direction, country}
		s := want[k]
		s.calls++
		if c.AnswerTime != nil || c.Status == "completed" {
			s.answered++
		}
		s.seconds += c.BillsecMS / 1000
		want[k] = s
	}
	ctx, cancel := j.ctx()
	defer cancel()
	got, err := j.region.Rollups(ctx, day.Format(time.DateOnly))
	if err != nil {
		return fmt.Errorf("read the counters: %w", err)
	}
	for _, g := range got.Rollups {
		k := cell{g.Direction, g.Country}
		w := want[k]
		if g.Calls != w.calls || g.Answered != w.answered || math.Abs(g.Minutes*60-float64(w.seconds)) > 0.5 {
			return fmt.Errorf("the counters of %s say %+v, and the calls add up to %+v", day.Format(time.DateOnly), g, w)
		}
		delete(want, k)
	}
	if len(want) > 0 {
		return fmt.Errorf("the counters of %s lack %+v", day.Format(time.DateOnly), want)
	}
	return nil
}

// persons are all there, or erased, and never come back.
func (j *judge) persons(r *round) error {
	for _, p := range r.persons {
		if p.certificate != "" && !p.executed {
			if err := j.executes(p); err != nil {
				return err
			}
		}
	}
	if slices.ContainsFunc(r.persons, func(p *person) bool { return p.asked && !p.executed }) {
		if err := j.stands(); err != nil {
			return err
		}
	}
	calls, err := j.calls(r.personsDay())
	if err != nil {
		return err
	}
	there := map[string]int{}
	for i := range calls {
		there[calls[i].NativeID]++
	}
	if err := j.rollups(r.personsDay(), calls); err != nil {
		return err
	}
	for _, p := range r.persons {
		n := 0
		for i := range 3 {
			n += there[p.native(i)]
		}
		switch {
		case p.executed && n > 0:
			return fmt.Errorf("%d calls of person %d of round %d are there, who was erased", n, p.n, p.round)
		case !p.asked && p.calls == acknowledged && n != 3, n > 3:
			return fmt.Errorf("%d calls of person %d of round %d are there, and 3 were acknowledged", n, p.n, p.round)
		}
		for i := range calls {
			if p.executed && (calls[i].From.E164 == p.number() || calls[i].From.Raw == p.number()) {
				return fmt.Errorf("person %d of round %d was erased, and a call names the number", p.n, p.round)
			}
		}
	}
	return nil
}

// stands waits until no erasure is under way, also none of which nobody was told: it
// would come between the reading of the calls and that of the counters.
func (j *judge) stands() error {
	ctx, cancel := j.ctx()
	defer cancel()
	for token := ""; ; {
		page, err := j.region.Certificates(ctx, token)
		if err != nil && (ctx.Err() != nil || !unready(err)) {
			return fmt.Errorf("read the certificates: %w", err)
		}
		pending := err != nil || slices.ContainsFunc(page.Certificates, func(c data.Certificate) bool { return c.State == "pending" })
		switch token = page.NextPageToken; {
		case pending:
			token = "" // from the beginning
			select {
			case <-ctx.Done():
				return fmt.Errorf("an erasure is still pending after %v", judgeLimit)
			case <-time.After(20 * time.Millisecond):
			}
		case token == "":
			return nil
		}
	}
}

// executes waits for an erasure that was acknowledged.
func (j *judge) executes(p *person) error {
	ctx, cancel := j.ctx()
	defer cancel()
	for {
		c, err := j.region.Certificate(ctx, p.certificate)
		if err == nil && c.State != "pending" {
			p.executed = true
			return nil
		}
		if ctx.Err() != nil || err != nil && !unready(err) {
			return fmt.Errorf("erasure %s was acknowledged and is %s %s: %w", p.certificate, c.State, c.Problem, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (j *judge) recordings(r *round) error {
	ctx, cancel := j.ctx()
	defer cancel()
	for n, id := range r.recordings {
		body, err := j.region.RecordingMedia(ctx, id, 0)
		if err != nil {
			return fmt.Errorf("recording %d of round %d was acknowledged: %w", n, r.n, err)
		}
		sound, err := io.ReadAll(body)
		if err := errors.Join(err, body.Close()); err != nil || !bytes.Equal(sound, j.book.wav(r, n)) {
			return fmt.Errorf("recording %d of round %d is not what was sent: %w", n, r.n, err)
		}
	}
	return nil
}

// again sends what was acknowledged once more: the node must know all of it.
func (j *judge) again(r *round) error {
	var calls []data.NewCall
	for n, k := range r.calls {
		if k == acknowledged && len(calls) < 200 {
			calls = append(calls, j.book.call(r, n))
		}
	}
	if len(calls) == 0 {
		return nil
	}
	ctx, cancel := j.ctx()
	defer cancel()
	counts, err := j.region.Batch(ctx, client.Upload{Body: bytes.NewReader(lines(calls...))})
	if err != nil || counts.Duplicates != len(calls) {
		return fmt.Errorf("%d acknowledged calls are sent again and answered %+v: %w", len(calls), counts, err)
	}
	return nil
}

// whole judges what is not of one round.
func (j *judge) whole() error {
	ctx, cancel := j.ctx()
	defer cancel()
	broken := map[string]int{}
	for token := ""; ; {
		page, err := j.region.Quarantine(ctx, token)
		if err != nil {
			return fmt.Errorf("read the quarantine: %w", err)
		}
		for _, q := range page.Items {
			broken[string(q.Payload)]++
		}
		if token = page.NextPageToken; token == "" {
			break
		}
	}
	for _, r := range j.book.rounds {
		for payload := range r.broken {
			if broken[payload] != 1 {
				return fmt.Errorf("a payload of round %d was acknowledged into the quarantine and is there %d times", r.n, broken[payload])
			}
		}
	}
	for n, k := range j.book.old {
		if err := j.old(ctx, n, k); err != nil {
			return err
		}
	}
	return nil
}

// old judges the counters of calls that retention drops.
func (j *judge) old(ctx context.Context, n int, k known) error {
	got, err := j.aged.Rollups(ctx, oldDay(n).Format(time.DateOnly))
	if err != nil {
		return fmt.Errorf("read the counters of what retention drops: %w", err)
	}
	counted := int64(0)
	for _, c := range got.Rollups {
		counted += c.Calls
	}
	if counted != oldCalls && (k == acknowledged || counted != 0) {
		return fmt.Errorf("batch %d of calls that retention drops has %d and state %d; %d are counted", n, oldCalls, k, counted)
	}
	return nil
}
