package power

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	localstore "github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/dataplane/store/sealed"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/policy"
)

// childDir makes this test binary a process that opens a keyring and a record
// store in that folder, judges them against a ledger, and works on them until it
// is ended. Each line that it writes is an acknowledgement.
const childDir = "DOMICILE_POWER_CHILD"

// stored is one work of the ledger: kind, round, number, count.
//
//	a  count calls from number on are stored
//	e  the call number is to be dropped
//	E  it is dropped
//	i  the item number is at version count
//	q  the payload number is in the quarantine
type stored struct {
	kind     byte
	round    int
	n, count int
}

func (l stored) String() string { return fmt.Sprintf("%c %d %d %d", l.kind, l.round, l.n, l.count) }

func parseStored(text string) (l stored, err error) {
	var kind string
	_, err = fmt.Sscan(text, &kind, &l.round, &l.n, &l.count)
	if err == nil {
		l.kind = kind[0]
	}
	return l, err
}

const childTenant = storetest.TenantA

// worker is a child at work.
type worker struct {
	keys  *local.Keyring
	s     *localstore.Store
	round int
	out   sync.Mutex
}

func openWorker(dir string) (*worker, error) {
	keys, err := local.OpenKeyring(local.Options{Dir: filepath.Join(dir, "keys"), Region: storetest.Region})
	if err != nil {
		return nil, err
	}
	s, err := localstore.Open(localstore.Options{Dir: filepath.Join(dir, "records"), Region: storetest.Region, Keys: keys})
	if err != nil {
		return nil, err
	}
	return &worker{keys: keys, s: s}, nil
}

// child is the process. It ends with 1 when something is wrong, and else not by itself.
func child() int {
	var round, workers int
	if _, err := fmt.Sscan(os.Getenv("DOMICILE_POWER_ROUND"), &round, &workers); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	w, err := openWorker(os.Getenv(childDir))
	if err != nil {
		fmt.Fprintln(os.Stderr, "OPEN", err)
		return 1
	}
	w.round = round
	if err := w.judge(os.Getenv("DOMICILE_POWER_LEDGER"), os.Getenv("DOMICILE_POWER_CHECK")); err != nil {
		fmt.Fprintln(os.Stderr, "JUDGED", err)
		return 1
	}
	w.say("judged")
	if workers == 0 {
		return 0
	}
	return w.work(workers)
}

// say writes one line at once.
func (w *worker) say(line string) {
	w.out.Lock()
	defer w.out.Unlock()
	fmt.Println(line)
}

// permits asks a real decision; a child has no test of its own to fail.
func permitFor(op policy.Operation, class policy.DataClass) policy.Permit {
	return storetest.PermitOf(&testing.T{}, childTenant, op, class)
}

// work works until something fails, which the power does.
func (w *worker) work(appenders int) int {
	var next struct {
		sync.Mutex
		n int
	}
	take := func(n int) int {
		next.Lock()
		defer next.Unlock()
		next.n += n
		return next.n - n
	}
	failed := make(chan error)
	run := func(f func(draw *rand.Rand) error) {
		go func() {
			draw := rand.New(rand.NewPCG(rand.Uint64(), 1))
			for {
				if err := f(draw); err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	ingest := permitFor(policy.Ingest, policy.CallRecord)
	most := 120
	if w.round%2 == 1 { // they come alone, nearly, so that they are merged
		most = 2
	}
	for range appenders {
		run(func(draw *rand.Rand) error {
			n := 1 + draw.IntN(most)
			first := take(n)
			recs := make([]record.Record, n)
			for i := range recs {
				recs[i] = recordOf(w.round, first+i)
			}
			_, err := w.s.Append(context.Background(), ingest, recs)
			if err == nil {
				w.say(stored{'a', w.round, first, n}.String())
			}
			return err
		})
	}
	run(func(draw *rand.Rand) error { return w.drop(take(2), draw) })
	run(w.merge)
	run(w.item())
	run(w.payload())
	run(func(draw *rand.Rand) error {
		<-time.After(time.Duration(20+draw.IntN(100)) * time.Millisecond)
		if draw.IntN(3) == 0 {
			return w.s.Reindex(context.Background(), permitFor(policy.Erase, policy.CallRecord))
		}
		return w.keys.Rotate(context.Background())
	})
	fmt.Fprintln(os.Stderr, "FAILED", <-failed)
	return 3
}

// drop stores two calls, and erases the first.
func (w *worker) drop(first int, draw *rand.Rand) error {
	ctx := context.Background()
	got, err := w.s.Append(ctx, permitFor(policy.Ingest, policy.CallRecord), []record.Record{recordOf(w.round, first), recordOf(w.round, first+1)})
	if err != nil {
		return err
	}
	w.say(stored{'a', w.round, first, 2}.String())
	w.say(stored{'e', w.round, first, 1}.String())
	if _, err := w.s.Rewrite(ctx, permitFor(policy.Erase, policy.CallRecord), store.Rewrite{Calls: []string{got[0].ID}}); err != nil {
		return err
	}
	w.say(stored{'E', w.round, first, 1}.String())
	<-time.After(time.Duration(draw.IntN(10)) * time.Millisecond)
	return nil
}

// merge merges what came alone, of this start and of those before: all but the
// newest chunk.
func (w *worker) merge(draw *rand.Rand) error {
	done, err := w.s.Merge(context.Background(), childTenant, sealed.MergeOptions{All: true})
	if err == nil && !done.More {
		<-time.After(time.Duration(5+draw.IntN(20)) * time.Millisecond)
	}
	return err
}

func itemID(round, n int) string { return fmt.Sprintf("LH%016x%016x", round, n) }

func itemBody(round, n int, version uint64) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "item %d %d %d", round, n, version))
	return bytes.Repeat(sum[:], 1+int(sum[0]))
}

// item writes an item's versions one after the other.
func (w *worker) item() func(*rand.Rand) error {
	n, version := 0, uint64(0)
	return func(draw *rand.Rand) error {
		_, err := w.s.PutItem(context.Background(), permitFor(policy.Store, policy.AccountConfig),
			store.Item{Kind: store.HoldItem, ID: itemID(w.round, n), Body: itemBody(w.round, n, version+1)}, version)
		if err != nil {
			return err
		}
		version++
		w.say(stored{'i', w.round, n, int(version)}.String())
		if version == 4 {
			n, version = n+1, 0
		}
		<-time.After(time.Duration(draw.IntN(20)) * time.Millisecond)
		return nil
	}
}

func payloadOf(round, n int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "payload %d %d;", round, n), 1+n%50)
}

func (w *worker) payload() func(*rand.Rand) error {
	n := 0
	return func(draw *rand.Rand) error {
		_, err := w.s.Quarantine(context.Background(), permitFor(policy.Ingest, policy.CallRecord),
			[]store.Quarantined{{Source: record.Native, Instance: "api", Problem: "broken", Payload: payloadOf(w.round, n)}})
		if err != nil {
			return err
		}
		w.say(stored{'q', w.round, n, 1}.String())
		n++
		<-time.After(time.Duration(20+draw.IntN(40)) * time.Millisecond)
		return nil
	}
}

// recordOf is the n-th record of a round.
func recordOf(round, n int) record.Record {
	d := sha256.Sum256(fmt.Appendf(nil, "record %d %d", round, n))
	start := roundDay(round).Add(time.Duration(binary.BigEndian.Uint32(d[:])%86_000_000) * time.Millisecond)
	id := fmt.Sprintf("%d/%d", round, n)
	from, to := fmt.Sprintf("+35386%07d", binary.BigEndian.Uint32(d[4:])%20_000), fmt.Sprintf("+3531%07d", binary.BigEndian.Uint32(d[8:])%9_999_999)
	r := record.Record{Key: record.Key{Source: record.Native, Instance: "api", NativeID: id}, CallKey: id, Primary: true,
		From: record.Party{Raw: from, E164: from, Country: "IE"}, To: record.Party{Raw: to, E164: to, Country: "IE"},
		CallerName: fmt.Sprintf("%x", d[:4+d[12]%24]), Direction: record.Inbound, Status: record.NoAnswer, Start: start,
		Native: fmt.Appendf(nil, `{"native_id":"%s","from":"%s","to":"%s","x":"%x"}`, id, from, to, d[:int(d[13])%32]), NativeType: "application/json"}
	if d[14]&1 == 0 {
		r.Direction = record.Outbound
	}
	if d[14]&2 == 0 {
		r.Status, r.Answer, r.Billsec = record.Completed, start.Add(time.Second), time.Duration(binary.BigEndian.Uint16(d[15:]))*time.Second
	}
	return storetest.Hashed(r)
}

func roundDay(round int) time.Time {
	return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, round)
}

// wanted is what the ledger says of one round.
type wanted struct {
	acked         map[int]bool
	asked, erased map[int]bool
	items         map[int]uint64 // number → latest acknowledged version
	payloads      map[int]bool
}

func readLedger(path string) (map[int]*wanted, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	all := map[int]*wanted{}
	for text := range strings.Lines(string(raw)) {
		l, err := parseStored(text)
		if err != nil {
			return nil, err
		}
		w := all[l.round]
		if w == nil {
			w = &wanted{map[int]bool{}, map[int]bool{}, map[int]bool{}, map[int]uint64{}, map[int]bool{}}
			all[l.round] = w
		}
		switch l.kind {
		case 'a':
			for i := range l.count {
				w.acked[l.n+i] = true
			}
		case 'e':
			w.asked[l.n] = true
		case 'E':
			w.erased[l.n] = true
		case 'i':
			w.items[l.n] = max(w.items[l.n], uint64(l.count))
		case 'q':
			w.payloads[l.n] = true
		}
	}
	return all, nil
}

// judge holds the store against the ledger: of the rounds named, or of "all".
func (w *worker) judge(ledger, rounds string) error {
	all, err := readLedger(ledger)
	if err != nil {
		return err
	}
	names := strings.Fields(rounds)
	for round, want := range all {
		if rounds != "all" && !contains(names, fmt.Sprint(round)) {
			continue
		}
		if err := w.judgeRound(round, want); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
	}
	if rounds == "all" {
		return w.judgePayloads(all)
	}
	return nil
}

func contains(names []string, name string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}

func (w *worker) judgeRound(round int, want *wanted) error {
	ctx, view := context.Background(), permitFor(policy.View, policy.CallRecord)
	day := roundDay(round)
	seen := map[int]bool{}
	sums := map[record.Direction]store.Rollup{}
	for q := (store.Query{Start: day, End: day.AddDate(0, 0, 1), PageSize: 1000}); ; {
		page, err := w.s.List(ctx, view, q)
		if err != nil {
			return err
		}
		if page.Corrupt > 0 {
			return fmt.Errorf("%d calls are corrupt", page.Corrupt)
		}
		for i := range page.Calls {
			r := &page.Calls[i].Record
			n, err := whole(r, round)
			if err != nil {
				return err
			}
			if seen[n] || page.Calls[i].Versions != 1 {
				return fmt.Errorf("call %d is there twice", n)
			}
			seen[n] = true
			s := sums[r.Direction]
			s.Calls++
			s.Billsec += int64(r.Billsec / time.Second)
			sums[r.Direction] = s
		}
		if q.PageToken = page.NextPageToken; q.PageToken == "" {
			break
		}
	}
	for n := range want.acked {
		if !seen[n] && !want.asked[n] {
			return fmt.Errorf("call %d was acknowledged and is not there", n)
		}
	}
	for n := range want.erased {
		if seen[n] {
			return fmt.Errorf("call %d was erased and is there", n)
		}
	}
	rollups, err := w.s.Rollups(ctx, view, day.Format(time.DateOnly), day.Format(time.DateOnly))
	if err != nil {
		return err
	}
	for _, r := range rollups {
		if s := sums[r.Direction]; s.Calls != r.Calls || s.Billsec != r.Billsec {
			return fmt.Errorf("the counters say %+v, and the calls add up to %+v", r, s)
		}
		delete(sums, r.Direction)
	}
	if len(sums) > 0 {
		return fmt.Errorf("the counters lack %+v", sums)
	}
	return w.judgeItems(round, want)
}

// whole says which call of the round a record is, and that each byte is as it was sent.
func whole(r *record.Record, round int) (n int, err error) {
	var of int
	if _, err := fmt.Sscanf(r.Key.NativeID, "%d/%d", &of, &n); err != nil || of != round {
		return 0, fmt.Errorf("a call that nobody sent: %v", err)
	}
	want := recordOf(round, n)
	if !bytes.Equal(r.Native, want.Native) || r.ContentHash != want.ContentHash || r.CallerName != want.CallerName || r.From.E164 != want.From.E164 ||
		r.To.Raw != want.To.Raw || !r.Start.Equal(want.Start) || !r.Answer.Equal(want.Answer) || r.Billsec != want.Billsec || r.Status != want.Status {
		return 0, fmt.Errorf("call %d is not what was sent", n)
	}
	return n, nil
}

func (w *worker) judgeItems(round int, want *wanted) error {
	for n, version := range want.items {
		got, err := w.s.Item(context.Background(), permitFor(policy.View, policy.AccountConfig), store.HoldItem, itemID(round, n))
		if err != nil {
			return fmt.Errorf("item %d: %w", n, err)
		}
		if got.Version < version || !bytes.Equal(got.Body, itemBody(round, n, got.Version)) {
			return fmt.Errorf("item %d is at version %d, and %d was acknowledged; or its body is not what was put", n, got.Version, version)
		}
	}
	return nil
}

func (w *worker) judgePayloads(all map[int]*wanted) error {
	there := map[string]int{}
	for token := ""; ; {
		items, next, err := w.s.Quarantines(context.Background(), permitFor(policy.View, policy.CallRecord), 1000, token)
		if err != nil {
			return err
		}
		for _, q := range items {
			there[string(q.Payload)]++
		}
		if token = next; token == "" {
			break
		}
	}
	for round, want := range all {
		for n := range want.payloads {
			if there[string(payloadOf(round, n))] != 1 {
				return fmt.Errorf("payload %d of round %d is there %d times", n, round, there[string(payloadOf(round, n))])
			}
		}
	}
	return nil
}
