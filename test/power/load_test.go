package power

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/api/data"
)

// load is many clients at work on one node, until stop.
type load struct {
	s       *site
	book    *book
	round   *round
	region  *client.Region
	aged    *client.Region // of a tenant whose calls are too old: retention drops them at each start
	draw    *rand.Rand
	largest int           // batch
	alone   bool          // its records come one by one, so that the node merges them
	first   chan struct{} // gets a token with each acknowledgement, when somebody waits

	stop chan struct{}
	all  sync.WaitGroup
}

// how many clients do what.
const (
	batchers = 4
	posters  = 4
	streams  = 2
	loners   = 4 // of the tenant whose records come alone
	clients  = batchers + posters + streams + 6 + loners + 1
)

func (l *load) begin() {
	l.stop, l.first = make(chan struct{}), make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(context.Background())
	run := func(pause time.Duration, work func(context.Context, *rand.Rand) error) {
		draw := rand.New(rand.NewPCG(l.draw.Uint64(), 1))
		l.all.Go(func() {
			for {
				err := work(ctx, draw)
				if err == nil {
					select {
					case l.first <- struct{}{}:
					default:
					}
				}
				wait := pause
				if err != nil {
					wait += 5 * time.Millisecond
				}
				select {
				case <-l.stop:
					return
				case <-time.After(wait): // a client's own pace
				}
			}
		})
	}
	run(10*time.Millisecond, l.person)
	go func() { <-l.stop; l.all.Wait(); cancel() }()
	if l.alone {
		for range loners {
			run(0, l.post)
		}
		return
	}
	for range batchers {
		run(0, l.batch)
	}
	for range posters {
		run(0, l.post)
	}
	for range streams {
		run(0, (&streamer{l: l}).work)
	}
	run(0, l.kamailio)
	run(20*time.Millisecond, l.garbage)
	run(30*time.Millisecond, l.record)
	run(20*time.Millisecond, l.policy)
	run(150*time.Millisecond, func(ctx context.Context, draw *rand.Rand) error {
		if draw.IntN(2) == 0 {
			return l.old(ctx)
		}
		return l.s.admin(ctx, http.MethodPost, "/keys:rotate")
	})
}

// end lets the clients hear what their requests came to, and waits for them.
func (l *load) end() {
	close(l.stop)
	l.all.Wait()
}

func lines(calls ...data.NewCall) []byte {
	var out bytes.Buffer
	for i := range calls {
		line, err := json.Marshal(&calls[i])
		if err != nil {
			panic(err)
		}
		out.Write(append(line, '\n'))
	}
	return out.Bytes()
}

func (l *load) batch(ctx context.Context, draw *rand.Rand) error {
	n := 1 + draw.IntN(l.largest)
	first := l.round.take(n)
	calls := make([]data.NewCall, n)
	for i := range calls {
		calls[i] = l.book.call(l.round, first+i)
	}
	counts, err := l.region.Batch(ctx, client.Upload{Body: bytes.NewReader(lines(calls...))})
	if err != nil {
		return err
	}
	if counts.Accepted != n || counts.Duplicates+counts.Quarantined != 0 {
		l.s.t.Errorf("round %d: a new batch of %d is answered %+v", l.round.n, n, counts)
	}
	if err := l.book.note(n, "batch %d %d+%d", l.round.n, first, n); err != nil {
		return err
	}
	l.round.acknowledge(first, n)
	return nil
}

func (l *load) post(ctx context.Context, _ *rand.Rand) error {
	n := l.round.take(1)
	answer, err := l.region.CreateCall(ctx, l.book.call(l.round, n))
	if err != nil {
		return err
	}
	if err := l.book.note(1, "call %d %d %s", l.round.n, n, answer.ID); err != nil {
		return err
	}
	l.round.acknowledge(n, 1)
	l.round.mu.Lock()
	l.round.answers[n] = answer.ID
	l.round.mu.Unlock()
	return nil
}

// kamailio sends the two events of a call, which fold into one.
func (l *load) kamailio(ctx context.Context, _ *rand.Rand) error {
	r := l.round
	set := func(to map[int]known, n int, k known) {
		r.mu.Lock()
		to[n] = k
		r.mu.Unlock()
	}
	r.mu.Lock()
	n := len(r.merged)
	r.mu.Unlock()
	at := r.day().Add(time.Duration(n) * time.Second).Unix()
	send := func(path, body string) error {
		_, err := l.region.Feed(ctx, "kamailio", "edge", client.Upload{Body: bytes.NewReader([]byte(body)), ContentType: "application/json", Path: path})
		return err
	}
	set(r.merged, n, sent)
	if err := send("/acc", fmt.Sprintf(`{"time":%d,"method":"INVITE","from_tag":"a","to_tag":"b","callid":"k%d-%d","sip_code":"200","sip_reason":"OK","from_user":"+353861110000","to_user":"+35315550000","src_ip":"192.0.2.1"}`, at, r.n, n)); err != nil {
		return err
	}
	if err := l.book.note(1, "acc %d %d", r.n, n); err != nil {
		return err
	}
	set(r.merged, n, acknowledged)
	set(r.billed, n, sent)
	if err := send("/cdr", fmt.Sprintf(`{"start_time":"%d.000","end_time":"%d.000","duration":"9.000","ci":"k%d-%d","from":"+353861110000","to":"+35315550000"}`, at, at+9, r.n, n)); err != nil {
		return err
	}
	if err := l.book.note(1, "cdr %d %d", r.n, n); err != nil {
		return err
	}
	set(r.billed, n, acknowledged)
	return nil
}

// garbage is acknowledged into the quarantine.
func (l *load) garbage(ctx context.Context, _ *rand.Rand) error {
	body := fmt.Sprintf(`{"variables":{"broken":"g%d-%d"`, l.round.n, l.book.tokens.Add(1))
	counts, err := l.region.Feed(ctx, "freeswitch", "edge", client.Upload{Body: bytes.NewReader([]byte(body)), ContentType: "application/json"})
	if err != nil || counts.Quarantined != 1 {
		return fmt.Errorf("%+v %w", counts, err)
	}
	if err := l.book.note(1, "quarantined %s", hex.EncodeToString([]byte(body))); err != nil {
		return err
	}
	l.round.mu.Lock()
	l.round.broken[body] = true
	l.round.mu.Unlock()
	return nil
}

func (l *load) record(ctx context.Context, _ *rand.Rand) error {
	n := int(l.book.tokens.Add(1))
	sound := l.book.wav(l.round, n)
	got, err := l.region.UploadRecording(ctx, "", bytes.NewReader(sound), int64(len(sound)), nil)
	if err != nil {
		return err
	}
	if err := l.book.note(1, "recording %d %d %s", l.round.n, n, got.ID); err != nil {
		return err
	}
	l.round.mu.Lock()
	l.round.recordings[n] = got.ID
	l.round.mu.Unlock()
	return nil
}

// person stores three calls of somebody, and has half of these people erased.
func (l *load) person(ctx context.Context, draw *rand.Rand) error {
	p := &person{round: l.round.n, n: len(l.round.persons), calls: sent}
	if p.n >= 100 {
		return nil
	}
	l.round.persons = append(l.round.persons, p)
	var calls []data.NewCall
	for i := range 3 {
		at := l.round.personsDay().Add(time.Duration(p.n*10+i) * time.Minute)
		calls = append(calls, data.NewCall{NativeID: p.native(i), From: p.number(), To: "+35315550001", Direction: "inbound", Status: "completed", StartTime: &at})
	}
	if _, err := l.region.Batch(ctx, client.Upload{Body: bytes.NewReader(lines(calls...))}); err != nil {
		return err
	}
	if err := l.book.note(3, "person %d %d", p.round, p.n); err != nil {
		return err
	}
	p.calls = acknowledged
	if draw.IntN(2) == 0 {
		return nil
	}
	p.asked = true
	c, err := l.region.EraseSubject(ctx, data.SubjectRef{Number: p.number()})
	if err != nil {
		return err
	}
	if err := l.book.note(0, "erasing %d %d %s", p.round, p.n, c.ID); err != nil {
		return err
	}
	p.certificate = c.ID
	for ctx.Err() == nil && c.State == "pending" {
		<-time.After(10 * time.Millisecond)
		if c, err = l.region.Certificate(ctx, c.ID); err != nil {
			return err
		}
	}
	if err := l.book.note(0, "erased %d %d", p.round, p.n); err != nil {
		return err
	}
	p.executed = true
	return nil
}

// policy changes something that is told to the node, whose cache and last contact are
// written then.
func (l *load) policy(ctx context.Context, _ *rand.Rand) error {
	control := l.s.Control("cp1")
	now, err := control.Tenant(ctx, agedSlug)
	if err != nil {
		return err
	}
	country := "IE"
	if now.GetBillingCountry() == country {
		country = "FR"
	}
	_, err = control.UpdateTenant(ctx, &controlv1.UpdateTenantRequest{Tenant: agedSlug, BillingCountry: &country}, now.GetEtag())
	if err != nil {
		return err
	}
	return l.book.note(0, "told")
}

const agedSlug = "aged-ie"

// old stores calls that the next retention round drops, on a day of their own. What
// they added to the counters stays.
func (l *load) old(ctx context.Context) error {
	l.book.mu.Lock()
	n := len(l.book.old)
	l.book.old = append(l.book.old, sent)
	l.book.mu.Unlock()
	var calls []data.NewCall
	for i := range oldCalls {
		at := oldDay(n).Add(time.Duration(i) * time.Minute)
		calls = append(calls, data.NewCall{NativeID: fmt.Sprintf("o%d-%d", n, i), From: "+353861112222", To: "+35315550002", Direction: "inbound", Status: "completed", StartTime: &at})
	}
	_, err := l.aged.Batch(ctx, client.Upload{Body: bytes.NewReader(lines(calls...))})
	if err != nil {
		return err
	}
	if err := l.book.note(len(calls), "old %d", n); err != nil {
		return err
	}
	l.book.mu.Lock()
	l.book.old[n] = acknowledged
	l.book.mu.Unlock()
	return nil
}

const oldCalls = 20

func oldDay(n int) time.Time { return time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, n) }
