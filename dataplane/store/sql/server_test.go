package sql_test

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/store/sql"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/internal/postgres"
	"github.com/domicile-io/domicile/policy"
)

// TestINV33_NothingAcknowledgedIsLostWithTheServer: the database's server is
// killed under load, four times; what was acknowledged is there afterwards, once,
// and what could not be stored was refused in a way that lets the caller retry.
func TestINV33_NothingAcknowledgedIsLostWithTheServer(t *testing.T) {
	server := postgres.Start(t)
	dsn, keys := server.Database(t), openKeys(t)
	all := []*sql.Store{}
	for range 2 {
		s, _ := open(t, dsn, keys, func(o *sql.Options) { o.Timeout = 10 * time.Second })
		all = append(all, s)
	}
	ctx, stop := context.WithCancel(context.Background())
	var mu sync.Mutex
	acknowledged, refusals := map[string]string{}, 0
	next := 0
	var work sync.WaitGroup
	for w := range 4 {
		work.Go(func() {
			for ctx.Err() == nil {
				mu.Lock()
				n := next
				next++
				mu.Unlock()
				for ctx.Err() == nil { // until it is stored, as a feed would
					out, err := all[w%2].Append(context.Background(), permit(t, policy.Ingest), []record.Record{storetest.Native(n)})
					mu.Lock()
					if err == nil {
						acknowledged[storetest.Native(n).CallKey] = out[0].ID
						mu.Unlock()
						break
					}
					refusals++
					mu.Unlock()
					if !isReason(err, policy.NotReady) && !isReason(err, policy.Overloaded) && !isReason(err, policy.OutcomeUnknown) {
						t.Errorf("while the server was away: %v", err)
						return
					}
				}
			}
		})
	}
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(acknowledged) }
	for range 4 {
		waitFor(t, func(before int) func() bool { return func() bool { return count() >= before+50 } }(count()))
		server.Kill()
		time.Sleep(50 * time.Millisecond) // so that calls meet a server that is not there
		if err := server.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, func(before int) func() bool { return func() bool { return count() >= before+50 } }(count()))
	stop()
	work.Wait()
	got := map[string]string{}
	for _, c := range sound(t, all) {
		if got[c.Record.CallKey] != "" {
			t.Errorf("a call is there twice")
		}
		got[c.Record.CallKey] = c.ID
	}
	for key, id := range acknowledged {
		if got[key] != id {
			t.Errorf("an acknowledged call is lost, or another")
		}
	}
	t.Logf("%d acknowledged, %d refusals, 4 kills", len(acknowledged), refusals)
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not come to pass in two minutes")
		}
	}
}

// TestAServerThatIsAwayIsNotInternal: every method says that the database is
// away, and goes on when it is back.
func TestAServerThatIsAwayIsNotInternal(t *testing.T) {
	server := postgres.Start(t)
	s, _ := open(t, server.Database(t), openKeys(t), nil)
	ctx := context.Background()
	if _, err := s.Append(ctx, permit(t, policy.Ingest), []record.Record{storetest.Native(1)}); err != nil {
		t.Fatal(err)
	}
	server.Stop()
	calls := map[string]func() error{
		"append": func() error {
			_, err := s.Append(ctx, permit(t, policy.Ingest), []record.Record{storetest.Native(2)})
			return err
		},
		"list": func() error { _, err := s.List(ctx, permit(t, policy.View), store.Query{}); return err },
		"rewrite": func() error {
			_, err := s.Rewrite(ctx, permit(t, policy.Erase), store.Rewrite{})
			return err
		},
		"purge": func() error { _, err := s.Purge(ctx, storetest.TenantB); return err },
		"quarantine": func() error {
			_, err := s.Quarantine(ctx, permit(t, policy.Ingest), []store.Quarantined{{Payload: []byte("x")}})
			return err
		},
		"item": func() error {
			_, err := s.PutItem(ctx, storetest.PermitOf(t, storetest.TenantA, policy.Ingest, policy.Recording), store.Item{Kind: store.RecordingItem, ID: "RE000102030405060708090a0b0c0d0e0f"}, 0)
			return err
		},
		"log":     func() error { return s.LogWritable(ctx) },
		"healthy": s.Healthy,
	}
	for name, call := range calls {
		if err := call(); !isReason(err, policy.NotReady) {
			t.Errorf("%s: %v, want %s", name, err, policy.NotReady)
		}
	}
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	for name, call := range calls {
		if name == "healthy" {
			waitFor(t, func() bool { return call() == nil })
			continue
		}
		if err := call(); err != nil {
			t.Errorf("%s, when it is back: %v", name, err)
		}
	}
	if n := len(everyCall(t, s, store.Query{})); n != 2 {
		t.Errorf("%d calls, want 2", n)
	}
}

// TestINV01_NothingPersonalInTheDatabase scans every file of the server's data
// folder, logs of changes included, for canaries; the positive control writes one.
func TestINV01_NothingPersonalInTheDatabase(t *testing.T) {
	server := postgres.Start(t)
	dsn := server.Database(t)
	s, stop := open(t, dsn, openKeys(t), nil)
	ctx := context.Background()
	for n := range 40 {
		r := storetest.Native(n)
		r.To = record.Party{Raw: "0877654321"}
		if _, err := s.Append(ctx, permit(t, policy.Ingest), []record.Record{r, storetest.Acc(n, "INVITE", 200, storetest.Epoch)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Quarantine(ctx, permit(t, policy.Ingest), []store.Quarantined{{Source: record.Asterisk, Instance: "Aoife Canary", Payload: []byte("Aoife Canary,+353861234567")}}); err != nil {
		t.Fatal(err)
	}
	if err := s.PutFeed(ctx, storetest.PermitOf(t, storetest.TenantA, policy.Store, policy.AccountConfig), store.Feed{Source: record.Twilio, Name: "Aoife Canary", SignatureSecret: "secret-canary"}); err != nil {
		t.Fatal(err)
	}
	item := store.Item{Kind: store.RecordingItem, ID: "RE000102030405060708090a0b0c0d0e0f", Body: []byte("Aoife Canary")}
	if _, err := s.PutItem(ctx, storetest.PermitOf(t, storetest.TenantA, policy.Ingest, policy.Recording), item, 0); err != nil {
		t.Fatal(err)
	}
	if n := len(everyCall(t, s, store.Query{Number: "+353861234567"})); n != 80 {
		t.Fatalf("%d calls, want 80: the scan would show nothing", n)
	}
	stop()
	canaries := []string{"353861234567", "0861234567", "0877654321", "3531555", "Aoife", "call-1", "27232@", "secret-canary", "native_id", "SIPp"}
	scan := func() (hits []string) {
		server.Stop() // writes everything
		err := filepath.WalkDir(server.DataDir(), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			for _, c := range canaries {
				if bytes.Contains(data, []byte(c)) {
					hits = append(hits, filepath.Base(path)+" holds "+c)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return hits
	}
	if hits := scan(); hits != nil {
		t.Errorf("%v", hits)
	}
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	query(t, dsn, `CREATE TABLE planted (x text)`)
	query(t, dsn, `INSERT INTO planted VALUES ('x0861234567x')`)
	if hits := scan(); !strings.Contains(strings.Join(hits, " "), "0861234567") {
		t.Fatal("the scan does not find a planted canary")
	}
}
