package backup

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
)

// table is a database of one table, in memory.
type table struct {
	rows  []Row
	visit func() // called once, while it is copied
}

// newTable has n rows of about 1 KiB, whose keys are random.
func newTable(n int) *table {
	t := &table{}
	random := rand.New(rand.NewPCG(1, 2))
	for range n {
		t.add(random)
	}
	return t
}

func (t *table) add(random *rand.Rand) {
	key := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, random.Uint64()), random.Uint64())
	value := make([]byte, random.IntN(2048))
	for i := range value {
		value[i] = byte(random.Uint32())
	}
	t.rows = append(t.rows, Row{key, value})
	slices.SortFunc(t.rows, func(a, b Row) int { return bytes.Compare(a.Key, b.Key) })
}

func (t *table) each(ctx context.Context, visit func(table string, key, value []byte) error) error {
	for _, r := range t.rows {
		if err := errors.Join(ctx.Err(), visit("rows", r.Key, r.Value)); err != nil {
			return err
		}
	}
	if t.visit != nil {
		t.visit()
	}
	return nil
}

// copyTable takes a snapshot of a table.
func (w *world) copyTable(t *table) (head Snapshot) {
	w.t.Helper()
	must(w.t, w.with(func(r *Repository) (err error) {
		src := w.source()
		src.Records, src.Scratch, src.Rows = nil, "", t.each
		head, err = r.Create(context.Background(), src, CreateOptions{})
		return err
	}))
	return head
}

// extractTable puts the newest snapshot back.
func (w *world) extractTable() (rows []Row, err error) {
	err = w.with(func(r *Repository) error {
		_, err := r.Extract(context.Background(), "", Target{Folder: w.t.TempDir(), Rows: func(_ context.Context, table string, some []Row) error {
			if table != "rows" {
				return fmt.Errorf("table %q", table)
			}
			for _, r := range some {
				rows = append(rows, Row{bytes.Clone(r.Key), bytes.Clone(r.Value)})
			}
			return nil
		}}, nil)
		return err
	})
	return rows, err
}

func sameRow(a, b Row) bool { return bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value) }

// Rows come back as they were, and rows that come and go cost the files that they
// are in: what stands around them is not copied again.
func TestRowsComeBackAndCostWhatHasChanged(t *testing.T) {
	w := newWorld(t)
	db := newTable(20_000)
	first := w.copyTable(db)
	if again := w.copyTable(db); again.Copied != 0 || again.Format != RowsFormat || first.Bytes < 16<<20 {
		t.Errorf("unchanged: %+v", again)
	}
	random := rand.New(rand.NewPCG(3, 4))
	db.add(random)
	db.rows = slices.Delete(db.rows, 5000, 5001)
	db.rows[15000].Value = []byte("another")
	if next := w.copyTable(db); next.Copied == 0 || next.Copied > 3*(rowsLeast+4*rowsMore) {
		t.Errorf("three rows are other ones, and %d bytes of %d were copied", next.Copied, next.Bytes)
	}
	rows, err := w.extractTable()
	if must(t, err); !slices.EqualFunc(rows, db.rows, sameRow) {
		t.Errorf("%d rows came back, %d were there; or they are not what they were", len(rows), len(db.rows))
	}
	if v, err := w.verify(); err != nil || v.Damaged > 0 {
		t.Errorf("%+v, %v", v, err)
	}
}

// A recording that comes while the database is copied is in the snapshot, as any that
// its records may name.
func TestRecordingsAreListedAfterTheDatabase(t *testing.T) {
	w := newWorld(t)
	w.copyTable(&table{rows: []Row{{[]byte("k"), nil}}, visit: func() { w.blob("TN1/RE1/1", "sound") }})
	must(t, w.with(func(r *Repository) error {
		ids, err := r.sortedIDs(t.Context())
		must(t, err)
		_, files, err := r.files(t.Context(), ids[len(ids)-1])
		if !slices.ContainsFunc(files, func(f File) bool { return f.Part == Media }) {
			t.Error("the recording is not in the snapshot")
		}
		return err
	}))
}

// A snapshot of a database goes into no folder, one of files into no database, and a
// file of rows that was changed brings no row.
func TestRowsGoWhereTheyBelong(t *testing.T) {
	w := newWorld(t)
	w.load(0, 10)
	w.create()
	if _, err := w.extractTable(); err == nil || !strings.Contains(err.Error(), "region of one node") {
		t.Errorf("files into a database: %v", err)
	}
	w.copyTable(newTable(100))
	must(t, w.with(func(r *Repository) error {
		_, err := r.Extract(t.Context(), "", Target{Folder: t.TempDir()}, nil)
		if err == nil || !strings.Contains(err.Error(), "store.kind sql") {
			t.Errorf("a database into a folder: %v", err)
		}
		ids, err := r.sortedIDs(t.Context())
		must(t, err)
		_, files, err := r.files(t.Context(), ids[len(ids)-1])
		must(t, err)
		i := slices.IndexFunc(files, func(f File) bool { return f.Part == Rows })
		path := w.folder + "/" + objectName(files[i].Object)
		raw, err := os.ReadFile(path)
		must(t, err)
		raw[len(raw)/2] ^= 1
		return os.WriteFile(path, raw, 0o600)
	}))
	if rows, err := w.extractTable(); !errors.Is(err, ErrDamaged) || len(rows) > 0 {
		t.Errorf("%d rows of a changed file, %v", len(rows), err)
	}
}

// Whatever a file of rows holds is read, or refused.
func FuzzRows(f *testing.F) {
	f.Add(appendRow(appendRow(nil, []byte("key"), []byte("value")), nil, nil))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, raw []byte) {
		rows, err := readRows(raw)
		if err != nil {
			return
		}
		var again []byte
		for _, r := range rows {
			again = appendRow(again, r.Key, r.Value)
		}
		back, err := readRows(again)
		if err != nil || !slices.EqualFunc(back, rows, sameRow) {
			t.Errorf("%d rows became %d, %v", len(rows), len(back), err)
		}
	})
}

// Notes of several nodes come behind every snapshot that lacks them, whichever node
// has written the last one.
func TestINV21_NotesOfSeveralNodesAreBehindTheSnapshot(t *testing.T) {
	w := newWorld(t)
	w.create()
	o := w.options()
	o.Shared = true
	var books [2]*Notebook
	for i := range books {
		var err error
		books[i], err = NewNotebook(o)
		must(t, err)
	}
	write := func(book int, row string) {
		must(t, books[book].Write(t.Context(), w.known, Note{Tenant: "TN", Kind: StoreRows, Rows: []Row{{Key: []byte(row)}}}))
	}
	write(1, "before")
	for range 3 {
		write(0, "before")
	}
	head := w.create()
	write(1, "after")
	var got []string
	must(t, w.with(func(r *Repository) error {
		return r.Notes(t.Context(), head.Notes, func(n Note) error { got = append(got, string(n.Rows[0].Key)); return nil })
	}))
	if !slices.Equal(got, []string{"after"}) {
		t.Errorf("after the snapshot there are the notes %q", got)
	}
}
