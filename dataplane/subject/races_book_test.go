package subject

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// book is what was acknowledged, and when by a count that only goes up.
type book struct {
	count atomic.Int64
	busy  atomic.Bool // a race is on

	mu    sync.Mutex
	calls map[string]*told  // by call id
	gone  map[string][]span // whom erasures forgot: tenure of a number → from asked to executed
}

// span is the count before something was asked for, and after it was answered;
// done is 0 while nobody answered.
type span struct{ asked, done int64 }

// told is one call and what of it was acknowledged.
type told struct {
	id       string
	mark     string // stands in everything that a source writes of it
	from, to string // tenures
	numbers  [2]string
	versions []version
	dropped  span // by a retention or a deletion
}

type version struct {
	span
	rec record.Record
}

func newBook() book {
	return book{calls: map[string]*told{}, gone: map[string][]span{}}
}

func (b *book) tick() int64 { return b.count.Add(1) }

// tenure names who had a number at a time.
func tenure(number string, at time.Time) string {
	if strings.HasPrefix(number, recycled) && !at.Before(epoch) {
		return number + " since"
	}
	return number
}

// recycled are numbers that change hands at epoch.
const recycled = "+3538691"

// acked notes that a version of a call is stored.
func (b *book) acked(mark string, asked int64, rec record.Record, got store.Appended) *told {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.calls[got.ID]
	if c == nil {
		c = &told{id: got.ID, mark: mark, from: tenure(rec.From.E164, rec.Start), to: tenure(rec.To.E164, rec.Start), numbers: [2]string{rec.From.E164, rec.To.E164}}
		b.calls[got.ID] = c
	}
	if got.State != store.Duplicate {
		c.versions = append(c.versions, version{span{asked, b.tick()}, rec})
	}
	return c
}

// erased notes that an erasure was asked for, and gives what is to be called when
// it is executed.
func (b *book) erased(who string) (executed func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone[who] = append(b.gone[who], span{asked: b.tick()})
	n := len(b.gone[who]) - 1
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.gone[who][n].done = b.tick()
	}
}

// fate is what must have become of a party of a call.
type fate byte

const (
	whole  fate = iota
	either      // it came while the party was being erased
	forgot
)

func (b *book) fate(c *told, who string) (f fate) {
	for _, e := range b.gone[who] {
		switch first := c.versions[0]; {
		case first.done < e.asked:
			return forgot
		case e.done == 0 || c.versions[len(c.versions)-1].asked < e.done:
			f = either
		}
	}
	return f
}

// canaries are the marks of calls that nobody may read any more.
func (b *book) canaries() (out []string) {
	for _, c := range b.calls {
		if b.fate(c, c.from) == forgot || b.fate(c, c.to) == forgot || c.dropped.asked > 0 {
			out = append(out, c.mark)
		}
	}
	return out
}

// judge holds what the region shows against the book. since is the count at which a
// backup that was put back was begun, 0 when none was: what came later may be lost.
func (a *arena) judge(when string, since int64) {
	a.t.Helper()
	b := &a.book
	shown := map[string]store.Call{}
	strangers := a.strangers()
	for _, c := range a.list(store.Query{PageSize: 1000}) {
		shown[c.ID] = c
		if strangers[c.Record.From.Subject] || strangers[c.Record.To.Subject] {
			a.t.Errorf("%s: a call has the subject of somebody who was erased", when)
		}
	}
	n := [4]int{}
	for id, c := range b.calls {
		got, there := shown[id]
		delete(shown, id)
		from, to := b.fate(c, c.from), b.fate(c, c.to)
		if since > 0 && c.versions[0].done > since && !there {
			delete(b.calls, id)
			continue
		}
		if n := got.Versions; since > 0 && n > 0 && n < len(c.versions) && c.versions[n].done > since {
			c.versions = c.versions[:n]
		}
		switch {
		case c.dropped.asked > 0:
			n[3]++
			if there {
				a.t.Errorf("%s: %s was dropped and is there", when, c.mark)
			}
		case from == whole && to == whole:
			n[0]++
			if !there {
				a.t.Errorf("%s: %s of others is not there", when, c.mark)
			} else {
				a.same(when, c, &got)
			}
		case from == forgot || to == forgot:
			n[1]++
			a.redacted(when, c, got, there, from, to)
		default:
			n[2]++
			if there && got.Record.Native == nil && bytes.Contains(a.shows(&got), []byte(c.mark)) {
				a.t.Errorf("%s: %s is redacted by half", when, c.mark)
			}
		}
	}
	for id := range shown {
		a.t.Errorf("%s: call %s is there, and nobody sent it", when, id)
	}
	a.t.Logf("%s: %d calls whole, %d erased, %d on either side, %d dropped", when, n[0], n[1], n[2], n[3])
}

// same demands that a call is what was sent, to the byte.
func (a *arena) same(when string, c *told, got *store.Call) {
	a.t.Helper()
	want, have := c.versions[len(c.versions)-1].rec, got.Record
	want.From.Subject, want.To.Subject, have.From.Subject, have.To.Subject = "", "", "", ""
	if !record.Append(record.Form{}, &have).Equal(record.Append(record.Form{}, &want)) || got.Versions != len(c.versions) {
		a.t.Errorf("%s: %s of others is not what was sent: version %d of %d, native %q", when, c.mark, got.Versions, len(c.versions), have.Native)
	}
}

// redacted demands that what the other party can claim is there, and nothing else.
func (a *arena) redacted(when string, c *told, got store.Call, there bool, from, to fate) {
	a.t.Helper()
	if bytes.Contains(a.shows(&got), []byte(c.mark)) {
		a.t.Errorf("%s: %s was erased and is read", when, c.mark)
	}
	for i, f := range []fate{from, to} {
		p := []record.Party{got.Record.From, got.Record.To}[i]
		switch {
		case f == forgot && p != (record.Party{}):
			a.t.Errorf("%s: %s still names who was erased", when, c.mark)
		case f == whole && !there:
			a.t.Errorf("%s: %s is not there, and its other party was not erased", when, c.mark)
		case f == whole && p.E164 != c.numbers[i]:
			a.t.Errorf("%s: %s lost its other party", when, c.mark)
		}
	}
}

// shows is everything that a call says.
func (a *arena) shows(c *store.Call) []byte {
	r := &c.Record
	return fmt.Appendf(nil, "%q %q %q %q %v %v %q %q %q %q", r.Key.NativeID, r.Key.Leg, r.Key.Event, r.CallKey, []byte(r.From.Raw), []byte(r.To.Raw), r.CallerName, r.STIR.OrigID, r.ConsentRef, r.Native)
}

// strangers are the subjects that no call may have any more, and no number lead to.
func (a *arena) strangers() map[string]bool {
	a.t.Helper()
	out := map[string]bool{}
	list, _, err := a.service.Certificates(context.Background(), tenant, 1000, "")
	must(a.t, err)
	for _, c := range list {
		for _, o := range c.Owners {
			if c.State != Pending && o.Until == nil && o.Since == nil {
				out[o.Subject] = true
			}
		}
	}
	for n := range persons {
		owners, err := a.store.Owners(context.Background(), a.permit(policy.Erase), someone(n), "")
		must(a.t, err)
		for _, o := range owners {
			if out[o.Subject] {
				a.t.Errorf("%s still leads to the subject that was erased", someone(n))
			}
		}
	}
	return out
}

// executed waits until every erasure that was asked for is.
func (a *arena) executed() {
	a.t.Helper()
	must(a.t, a.service.Round(context.Background(), []policy.TenantID{tenant}))
	list, _, err := a.service.Certificates(context.Background(), tenant, 1000, "")
	must(a.t, err)
	for _, c := range list {
		if c.State == Pending {
			a.t.Errorf("certificate %s is %s at %s: %s", c.ID, c.State, c.Step, c.Problem)
		}
	}
}

// certificates are those that are not final, and how many are.
func (a *arena) certificates() (open []data.Certificate, final int) {
	a.t.Helper()
	list, _, err := a.service.Certificates(context.Background(), tenant, 1000, "")
	must(a.t, err)
	for _, c := range list {
		if c.State == Final {
			final++
		} else {
			open = append(open, c)
		}
	}
	return open, final
}
