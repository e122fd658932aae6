package subject

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane/backup"
	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/peer"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	localstore "github.com/domicile-io/domicile/dataplane/store/local"
	"github.com/domicile-io/domicile/policy"
)

var (
	raceSeeds = flag.Int("races", 1, "how many seeded races of erasures with everything else")
	raceSeed  = flag.Uint64("races.seed", 1, "the first seed")
)

// Numbers of a race: persons who are erased, and others who never are.
func someone(n int) string   { return fmt.Sprintf("+35386739%04d", n) }
func bystander(n int) string { return fmt.Sprintf("+35386440%04d", n) }
func mover(n int) string     { return fmt.Sprintf("%s%05d", recycled, n) }

const (
	persons    = 8
	bystanders = 30
	pace       = 4 * time.Millisecond // of what goes on beside, so that it stays small
	enough     = 150                  // rounds of ingest, however long the erasures take
)

// TestINV21_ErasuresRaceWithEverything erases persons at random, while their calls
// come in, are exported over a bad road, age out, are deleted, are backed up, put
// back, and listed, their numbers move to others, and keys rotate. Whatever the
// order: an adversary who has the disk as it was at any moment, every backup and
// every note, and every key that can still be had reads nothing of an erased
// person's calls of before, the other region holds no row that names one; the
// calls of others are whole to the byte, and what came afterwards is there.
func TestINV21_ErasuresRaceWithEverything(t *testing.T) {
	seed := *raceSeed
	for n := range uint64(*raceSeeds) {
		t.Run(fmt.Sprintf("seed=%d", seed+n), func(t *testing.T) { raceOnce(t, seed+n) })
	}
}

func raceOnce(t *testing.T, seed uint64) {
	a := newArena(t, seed)
	must(t, a.exporter.RoundFor(context.Background(), tenant)) // from here on windows are judged
	a.permit(policy.View)                                      // a ledger that is compared while a call is being deleted says so
	rounds := 1
	if *raceSeeds > 1 {
		rounds = 2
	}
	for round := range rounds {
		a.populate(round)
		a.snapshot()
		a.steal()
		if round == 0 {
			a.control()
		}
		a.race(round)
		a.executed()
		a.judge(fmt.Sprintf("round %d", round), 0)
		since := int64(0)
		if s := a.choose(); a.draw.IntN(3) > 0 || round == rounds-1 {
			a.t.Logf("round %d: snapshot %d is put back, begun at %d of %d", round, s.head.Number, s.begun, a.book.count.Load())
			a.close()
			a.putBack(s)
			a.open()
			since = s.begun
			a.executed()
		} else {
			a.reopen()
		}
		a.judge(fmt.Sprintf("round %d, started again", round), since)
		a.after(round)
	}
	a.final()
}

// populate stores calls of everybody, some of them so old that their retention is over.
func (a *arena) populate(round int) {
	for n := range 6 * persons {
		a.ingest(a.draw, fmt.Sprintf("p%d", round), n, a.clock())
	}
	for n := range 2 * bystanders {
		a.one(a.draw, fmt.Sprintf("b%d", round), bystander(n%bystanders), bystander(bystanders), a.clock())
	}
	for n := range 20 {
		a.one(a.draw, fmt.Sprintf("old%d", round), someone(n%persons), bystander(a.draw.IntN(bystanders)), epoch.AddDate(-2, 0, n))
	}
	for n := range 3 {
		for _, start := range []time.Time{epoch.Add(-time.Hour), epoch.Add(time.Minute)} {
			a.one(a.draw, fmt.Sprintf("m%d", round), mover(10*round+n), bystander(a.draw.IntN(bystanders)), start)
		}
	}
}

// ingest is one call of somebody who may be erased.
func (a *arena) ingest(draw *rand.Rand, series string, n int, at time.Time) {
	from, to := someone(n%persons), bystander(draw.IntN(bystanders))
	switch draw.IntN(6) {
	case 0:
		from, to = to, from
	case 1:
		to = someone(draw.IntN(persons))
	}
	a.one(draw, series, from, to, at)
}

// one stores a call, and now and then a second version of it.
func (a *arena) one(draw *rand.Rand, series, from, to string, at time.Time) {
	mark := fmt.Sprintf("zq%s-%016x", series, draw.Uint64())
	rec := a.call(mark, from, to, at)
	rec.CallerName = "caller " + from // which stays when the callee is erased
	for v := range byte(1 + draw.IntN(2)) {
		rec.ContentHash[5], rec.Native = v, append(rec.Native, ' ')
		asked := a.book.tick()
		got, err := a.store.Append(context.Background(), a.ingesting(), []record.Record{rec})
		if err != nil {
			a.t.Errorf("ingest: %v", err)
			return
		}
		a.book.acked(mark, asked, rec, got[0])
	}
}

func (a *arena) ingesting() policy.Permit { return a.permit(policy.Ingest) }

// race lets everything happen at once.
func (a *arena) race(round int) {
	a.book.busy.Store(true)
	ctx, stop := context.WithCancel(context.Background())
	var others, erasers sync.WaitGroup
	loop := func(f func(draw *rand.Rand, n int)) {
		draw := rand.New(rand.NewPCG(a.draw.Uint64(), 5))
		others.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				f(draw, n)
			}
		})
	}
	for w := range 2 {
		loop(func(draw *rand.Rand, n int) {
			a.ingest(draw, fmt.Sprintf("r%d-%d", round, w), draw.IntN(persons), a.clock())
			a.one(draw, fmt.Sprintf("rb%d-%d", round, w), bystander(n%bystanders), bystander(bystanders), a.clock())
			<-time.After(pace)
			if n > enough {
				<-ctx.Done()
			}
		})
	}
	loop(func(*rand.Rand, int) {
		_ = a.exporter.RoundFor(ctx, tenant) // the road is bad
		_ = a.exporter.Bury(ctx, tenant)
		a.shift.Add(int64(raceWindow / 2))
		<-time.After(pace)
	})
	loop(func(*rand.Rand, int) {
		if err := a.keys.Rotate(context.Background()); err != nil {
			a.t.Errorf("rotate: %v", err)
		}
		<-time.After(pace)
	})
	loop(func(draw *rand.Rand, _ int) {
		if len(a.snaps) < 3*(round+1) {
			a.snapshot()
		}
		if len(a.stolen) < 3*(round+1) {
			a.steal()
		}
		<-time.After(time.Duration(draw.IntN(20)) * time.Millisecond)
	})
	loop(func(*rand.Rand, int) { a.page(); <-time.After(pace) })
	erasers.Go(func() { a.retain() })
	erasers.Go(func() { a.deleteSome(round) })
	for n := range 3 {
		erasers.Go(func() { a.move(10*round+n, round) })
	}
	for w := range 2 {
		draw := rand.New(rand.NewPCG(a.draw.Uint64(), 7))
		erasers.Go(func() {
			for n := w; n < persons; n += 2 {
				if (n/2+round)%2 == 0 {
					a.forget(draw, someone(n), Who{Party: a.numbers.Party(someone(n), "IE")}, someone(n))
				}
			}
		})
	}
	erasers.Wait()
	stop()
	others.Wait()
	a.book.busy.Store(false)
}

// forget erases somebody to the end.
func (a *arena) forget(_ *rand.Rand, number string, w Who, who ...string) {
	var executed []func()
	for _, x := range who {
		executed = append(executed, a.book.erased(x))
	}
	c, err := a.service.Erase(context.Background(), tenant, w)
	for err == nil && c.State == Pending {
		if err = a.service.Round(context.Background(), []policy.TenantID{tenant}); err == nil {
			c, err = a.service.Certificate(context.Background(), tenant, c.ID)
		}
	}
	if err != nil {
		a.t.Errorf("erase %s: %v", number, err)
		return
	}
	for _, f := range executed {
		f()
	}
}

// move records that a number went to somebody else, and erases who had it before.
func (a *arena) move(n, round int) {
	number := mover(n)
	owners, err := a.service.Reassign(context.Background(), tenant, a.who(number), epoch)
	if err != nil || len(owners) != 2 {
		a.t.Errorf("reassign: %v, %v", owners, err)
		return
	}
	draw := rand.New(rand.NewPCG(uint64(n), 9))
	for range 5 { // late ones of both
		a.one(draw, fmt.Sprintf("late%d", round), number, bystander(draw.IntN(bystanders)), epoch.Add(-2*time.Hour))
		a.one(draw, fmt.Sprintf("new%d", round), number, bystander(draw.IntN(bystanders)), epoch.Add(time.Duration(draw.IntN(3000))*time.Second))
	}
	a.forget(draw, number, Who{Party: a.numbers.Party(number, "IE"), Subject: owners[0].Subject}, number)
}

// retain ends the retention of what is a year old, as a node does.
func (a *arena) retain() {
	permit := a.permit(policy.Erase)
	for token := ""; ; {
		ids, next, err := a.store.Aged(context.Background(), permit, epoch.AddDate(-1, 0, 0), 5, token)
		if err == nil && len(ids) > 0 {
			a.drop(ids)
			err = a.service.EndCalls(context.Background(), permit, ids, func(ctx context.Context) error {
				_, err := a.store.Rewrite(ctx, permit, store.Rewrite{Calls: ids, KeepCounts: true})
				return err
			})
		}
		if err != nil {
			a.t.Errorf("retention: %v", err)
			return
		}
		if token = next; token == "" {
			return
		}
	}
}

func (a *arena) drop(ids []string) {
	a.book.mu.Lock()
	defer a.book.mu.Unlock()
	for _, id := range ids {
		if c := a.book.calls[id]; c != nil && c.dropped.asked == 0 {
			c.dropped.asked = a.book.tick()
		}
	}
}

// deleteSome deletes single calls of others.
func (a *arena) deleteSome(round int) {
	a.book.mu.Lock()
	var ids []string
	for id, c := range a.book.calls {
		if len(ids) < 6 && c.dropped.asked == 0 && bytes.HasPrefix([]byte(c.mark), fmt.Appendf(nil, "zqb%d-", round)) {
			ids = append(ids, id)
		}
	}
	a.book.mu.Unlock()
	for _, id := range ids {
		a.drop([]string{id})
		if err := a.service.DeleteCall(context.Background(), tenant, id); err != nil {
			a.t.Errorf("delete a call: %v", err)
		}
	}
}

// page lists everything once; nothing that is redacted by half is shown.
func (a *arena) page() {
	for q := (store.Query{PageSize: 100}); ; {
		page, err := a.store.List(context.Background(), a.permit(policy.View), q)
		if err != nil || page.Corrupt > 0 {
			a.t.Errorf("list: %d corrupt, %v", page.Corrupt, err)
			return
		}
		for _, c := range page.Calls {
			if c.Record.Native == nil && bytes.Contains(a.shows(&c), []byte("zq")) {
				a.t.Error("a list shows half a redaction")
			}
		}
		if q.PageToken = page.NextPageToken; q.PageToken == "" {
			return
		}
	}
}

// after stores calls of everybody once more: of new subjects, and whole.
func (a *arena) after(round int) {
	for n := range persons {
		a.one(a.draw, fmt.Sprintf("a%d", round), someone(n), bystander(n), a.clock())
	}
	a.judge(fmt.Sprintf("round %d, and life goes on", round), 0)
}

// thief opens a frame as the format says, with whatever key can be had: nothing
// of ours stands between it and the bytes.
func thief(keys store.Keys, key, value []byte) []byte {
	if len(key) != 27 || key[0] != 'k' || len(value) < 45 {
		return nil
	}
	id := store.KeyID{Generation: binary.BigEndian.Uint64(value[1:]), Index: binary.BigEndian.Uint64(value[9:])}
	secret, err := keys.Open(id)
	if err != nil {
		return nil
	}
	block, err := aes.NewCipher(secret[:])
	if err != nil {
		return nil
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil
	}
	aad := append([]byte("domicile store\x00"), 1, 'k')
	aad = append(append(aad, "ie1"...), 0)
	aad = append(append(aad, key[1:17]...), value[1:17]...)
	aad = append(append(aad, key[17:27]...), value[:29]...)
	packed, err := gcm.Open(nil, append(make([]byte, 10), key[25:27]...), value[29:], aad)
	if err != nil {
		return nil
	}
	d, err := zstd.NewReader(nil)
	if err != nil {
		return nil
	}
	defer d.Close()
	plain, err := d.DecodeAll(packed, nil)
	if err != nil {
		return nil
	}
	return plain
}

// immortal lets a store that was stolen destroy no key.
type immortal struct{ store.Keys }

func (i immortal) For(store.KeyUse) store.Keys { return i }
func (immortal) Destroy([]store.KeyID) error   { return nil }

// rob reads everything that a copy of the records says to who has the keys.
func (a *arena) rob(records string, keys store.Keys) (plain []byte, opens bool) {
	work := filepath.Join(a.t.TempDir(), "work")
	copyTree(a.t, records, work)
	s, err := localstore.Open(localstore.Options{Dir: work, Region: "ie1", Keys: immortal{keys}, Now: a.clock})
	if err != nil {
		return nil, false // torn
	}
	must(a.t, s.EachSealed(func(row []byte, _ string, value []byte) { plain = append(plain, thief(keys, row, value)...) }))
	must(a.t, s.Close())
	return plain, true
}

// ring opens a copy of a key table; nil when its generation is gone.
func (a *arena) ring(dir string) *local.Keyring {
	keys, err := local.OpenKeyring(local.Options{Dir: dir, Region: "ie1", Existing: true, Now: a.clock})
	if err != nil {
		return nil
	}
	return keys
}

// control shows that the adversary reads everything while nobody was erased.
func (a *arena) control() {
	a.t.Helper()
	work := filepath.Join(a.t.TempDir(), "keys")
	copyTree(a.t, filepath.Join(a.stolen[0], "keys"), work)
	keys := a.ring(work)
	if keys == nil {
		a.t.Fatal("the control's keys do not open")
	}
	plain, _ := a.rob(filepath.Join(a.stolen[0], "records"), keys)
	must(a.t, keys.Close())
	for _, c := range a.book.calls {
		if !bytes.Contains(plain, []byte(c.mark)) {
			a.t.Fatalf("the adversary does not read %s before anything is erased: it proves nothing", c.mark)
		}
	}
}

// final lets every certificate become final, and then the adversary look.
func (a *arena) final() {
	a.t.Helper()
	ctx := context.Background()
	for range 3 {
		must(a.t, a.exporter.RoundFor(ctx, tenant))
		must(a.t, a.exporter.Bury(ctx, tenant))
		must(a.t, a.keys.Rotate(ctx))
		must(a.t, a.store.Reindex(ctx, a.permit(policy.Erase)))
		a.now = a.now.Add(48 * time.Hour)
		a.executed()
	}
	if open, final := a.certificates(); len(open) > 0 || final == 0 {
		a.t.Errorf("%d certificates are final, and not: %+v", final, open)
	}
	a.judge("at the end", 0)
	a.abroad()
	a.permit(policy.View)
	canaries := a.book.canaries()
	if len(canaries) == 0 {
		a.t.Fatal("nobody was erased")
	}
	look := func(where string, plain []byte) {
		for _, mark := range canaries {
			if bytes.Contains(plain, []byte(mark)) {
				a.t.Errorf("%s: %s is read", where, mark)
			}
		}
	}
	var backups [][]byte
	must(a.t, os.RemoveAll(filepath.Join(a.folder, "given-up"))) // a thief asks nobody what fits
	must(a.t, a.with(func(r *backup.Repository) error {
		all, err := r.Snapshots(context.Background())
		must(a.t, err)
		for _, s := range all {
			into := filepath.Join(a.t.TempDir(), "into")
			must(a.t, os.Mkdir(into, 0o700))
			_, err := r.Extract(ctx, s.ID, backup.Target{Folder: into}, nil)
			must(a.t, err)
			plain, opens := a.rob(filepath.Join(into, "records"), a.keys)
			if backups = append(backups, plain); !opens {
				a.t.Errorf("snapshot %d does not open", s.Number)
			}
		}
		var notes []byte
		err = r.Notes(context.Background(), 0, func(n backup.Note) error {
			for _, row := range n.Rows {
				notes = append(notes, thief(a.keys, row.Key, row.Value)...)
			}
			return nil
		})
		backups = append(backups, notes)
		return err
	}))
	for n, plain := range backups {
		look(fmt.Sprintf("backup %d of %d", n, len(backups)), plain)
	}
	opened := 0
	for n, dir := range append(a.stolen, a.dir) {
		plain, opens := a.rob(filepath.Join(dir, "records"), a.keys)
		look(fmt.Sprintf("copy %d with the keys of now", n), plain)
		if opens {
			opened++
		}
	}
	a.t.Logf("%d of %d copies of the disk open", opened, len(a.stolen)+1)
	a.close()
	for n, dir := range a.stolen {
		keys := filepath.Join(a.t.TempDir(), "keys")
		copyTree(a.t, filepath.Join(dir, "keys"), keys)
		for _, slot := range []string{"root.key", "generations"} {
			raw, err := os.ReadFile(filepath.Join(a.dir, "keys", slot))
			must(a.t, err)
			must(a.t, os.WriteFile(filepath.Join(keys, slot), raw, 0o600))
		}
		ring := a.ring(keys)
		if ring == nil {
			continue
		}
		plain, _ := a.rob(filepath.Join(dir, "records"), ring)
		look(fmt.Sprintf("copy %d with the table of then", n), plain)
		must(a.t, ring.Close())
	}
	a.raw()
}

// raw looks for what stands in clear.
func (a *arena) raw() {
	a.t.Helper()
	for _, dir := range append(a.stolen, a.dir, a.folder) {
		must(a.t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			raw, err := os.ReadFile(path)
			if bytes.Contains(raw, []byte("zqp0-")) || bytes.Contains(raw, []byte(someone(0)[:9])) {
				a.t.Errorf("%s holds something in clear", path)
			}
			return err
		}))
	}
}

// abroad demands that the other region holds no row that names who was erased.
func (a *arena) abroad() {
	a.t.Helper()
	rows := a.rowsAbroad()
	n := 0
	for id, c := range a.book.calls {
		row, there := rows[a.rowOf(id)]
		if !there {
			continue
		}
		n++
		from, to := a.book.fate(c, c.from), a.book.fate(c, c.to)
		if from == forgot && row.From != "" || to == forgot && row.To != "" || c.dropped.asked > 0 {
			a.t.Errorf("%s was erased, and the other region has its row", c.mark)
		}
	}
	if n == 0 {
		a.t.Error("no row of any call reached the other region: it shows nothing")
	}
	a.t.Logf("%d rows abroad, %d of calls that are known", len(rows), n)
}

// rowsAbroad is what the other region holds, by pseudonym of the call.
func (a *arena) rowsAbroad() map[string]data.PseudonymRow {
	a.t.Helper()
	rows := map[string]data.PseudonymRow{}
	for cursor := ""; ; {
		page, next, err := a.us.receiver.Inbox().Page(tenant, raceRecipient, cursor, peer.MaxPage)
		must(a.t, err)
		for _, r := range page {
			var row data.PseudonymRow
			must(a.t, json.Unmarshal(r.JSON, &row))
			if old, twice := rows[row.Row]; !twice || old.From+old.To == "" {
				rows[row.Row] = row
			}
		}
		if len(page) < peer.MaxPage {
			return rows
		}
		cursor = next
	}
}

// rowOf is the pseudonym under which a call leaves.
func (a *arena) rowOf(call string) string {
	a.t.Helper()
	secret, err := a.keys.Named(fmt.Sprintf("pseudonym/%s/%s/analytics/2026-03", tenant, raceRecipient))
	must(a.t, err)
	key, err := record.NewPseudonymKey(secret, record.Scope{Tenant: tenant, Recipient: raceRecipient, Purpose: "analytics", Period: "2026-03"})
	must(a.t, err)
	row, err := key.Tombstone(call)
	must(a.t, err)
	return row
}
