package egress

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/policy"
)

func writeLines(t *testing.T, dir string, n int) {
	t.Helper()
	j, days, err := openJournal(dir, "ie1", frozen, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	_ = days
	for range n {
		if err := j.append([]line{{day: "2026-11-23", key: key{class: policy.ControlStream, destination: "a:1"}, sum: sum{opened: 1, out: 5}}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
}

func reopened(t *testing.T, dir string) (sum, string) {
	t.Helper()
	var log bytes.Buffer
	j, days, err := openJournal(dir, "ie1", frozen, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer j.close()
	return days["2026-11-23"][key{class: policy.ControlStream, destination: "a:1"}], log.String()
}

func TestATornEndIsForgotten(t *testing.T) {
	for cut := 1; cut < 20; cut++ {
		dir := t.TempDir()
		writeLines(t, dir, 3)
		path := filepath.Join(dir, journalFile)
		raw, _ := os.ReadFile(path)
		if err := os.WriteFile(path, raw[:len(raw)-cut], 0o600); err != nil {
			t.Fatal(err)
		}
		if s, log := reopened(t, dir); s.opened != 2 || s.out != 10 || log != "" {
			t.Fatalf("cut %d: %+v, log %q", cut, s, log)
		}
	}
}

func TestINV34_DamageIsKeptAndReported(t *testing.T) {
	dir := t.TempDir()
	writeLines(t, dir, 3)
	path := filepath.Join(dir, journalFile)
	raw, _ := os.ReadFile(path)
	lines := bytes.SplitAfter(raw, []byte("\n"))
	lines[2][20] ^= 1 // header, first, second, third
	if err := os.WriteFile(path, bytes.Join(lines, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	s, log := reopened(t, dir)
	if s.opened != 2 || !strings.Contains(log, "damaged") {
		t.Fatalf("%+v, log %q", s, log)
	}
	aside, _ := filepath.Glob(path + ".damaged-*")
	if len(aside) != 1 {
		t.Fatalf("damaged file was not kept: %v", aside)
	}
	if kept, _ := os.ReadFile(aside[0]); !bytes.Equal(kept, bytes.Join(lines, nil)) {
		t.Fatal("the kept file is not the damaged one")
	}
}

func TestAnotherRegionsLedgerIsRefused(t *testing.T) {
	dir := t.TempDir()
	writeLines(t, dir, 1)
	if _, _, err := openJournal(dir, "us1", frozen, slog.Default()); err == nil {
		t.Fatal("us1 opened ie1's ledger")
	}
}

func TestOldDaysBecomeMonths(t *testing.T) {
	k := key{class: policy.ControlStream, destination: "a:1"}
	days := map[string]map[key]sum{
		"2026-10-01": {k: {opened: 1, out: 2, last: 10}}, "2026-10-02": {k: {opened: 3, out: 4, last: 20}},
		"2026-11-22": {k: {opened: 9}},
	}
	foldMonths(days, frozen.Add(24*time.Hour))
	if got := days["2026-10"][k]; got != (sum{opened: 4, out: 6, last: 20}) || len(days) != 2 || days["2026-11-22"][k].opened != 9 {
		t.Fatalf("%v", days)
	}
}

func TestTheJournalStaysBounded(t *testing.T) {
	dir := t.TempDir()
	d := testDoor(t, dir)
	c := d.ledger.counter(key{class: policy.ControlStream, destination: "a:1"})
	d.ledger.journal.size = minRewrite + 1 // as after many lines
	c.opened.Add(1)
	if err := d.ledger.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d.ledger.journal.size > 1<<10 {
		t.Fatalf("journal was not rewritten: %d bytes", d.ledger.journal.size)
	}
	if e := d.Entries(); len(e) != 1 || e[0].Connections != 1 {
		t.Fatalf("%+v", e)
	}
}

func FuzzReadJournal(f *testing.F) {
	var b bytes.Buffer
	_ = encodeLine(&b, lineJSON{Format: journalFormat, Region: "ie1"})
	_ = line{day: "2026-11-23", key: key{class: policy.ControlStream, destination: "a:1"}, sum: sum{opened: 1}}.encode(&b)
	f.Add(b.Bytes())
	f.Add([]byte("00000000 {}\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		days := map[string]map[key]sum{}
		_, _ = readJournal(bytes.NewReader(raw), "ie1", days)
	})
}
