package dataplane

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/move"
	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/dataplane/shelf/bolt"
)

// No node starts where the records are not: neither on an embedded store that has
// moved, nor over a database into which one has not.
func TestINV33_NobodyStartsOnTheWrongSide(t *testing.T) {
	sql := func(c *Config) { c.Store.Kind = SQLStore }
	for _, c := range []struct {
		name    string
		records bool
		state   MoveState // "" no mark
		change  func(*Config)
		says    string
	}{
		{"a new embedded region", false, "", nil, ""},
		{"an embedded region", true, "", nil, ""},
		{"an embedded region that moves", true, MoveBegun, nil, ""},
		{"an embedded region that has moved", true, MoveDone, nil, "set store.kind: sql"},
		{"a new region over a database", false, "", sql, ""},
		{"records that never moved", true, "", sql, "migrate-store"},
		{"records that move", true, MoveBegun, sql, "is not done"},
		{"a region that has moved", true, MoveDone, sql, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := &Node{cfg: Config{DataDir: t.TempDir()}}
			if c.change != nil {
				c.change(&n.cfg)
			}
			if c.records {
				if err := os.Mkdir(filepath.Join(n.cfg.DataDir, recordsDir), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			if c.state != "" {
				m := MoveMark{ID: "OP1", State: c.state, To: "/etc/next.yaml", Report: &move.Report{Switched: time.Now()}}
				if err := m.save(n.cfg.DataDir); err != nil {
					t.Fatal(err)
				}
			}
			switch err := n.checkMoved(Options{}); {
			case c.says == "" && err != nil:
				t.Error(err)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
				t.Errorf("%v, want a refusal that says %q", err, c.says)
			}
		})
	}
	damaged := &Node{cfg: Config{DataDir: t.TempDir()}}
	if err := os.WriteFile(filepath.Join(damaged.cfg.DataDir, moveFile), []byte(`{"state":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if damaged.checkMoved(Options{}) == nil {
		t.Error("a node starts on a mark that is half written")
	}
}

// A database into which records are being moved refuses every node but the one
// whose mark says that they are there, which makes the note true.
func TestINV33_ADatabaseThatIsMovedIntoRefusesEveryNode(t *testing.T) {
	link, err := bolt.Open(filepath.Join(t.TempDir(), "link.db"), []shelf.Bucket{bucketLink, bucketMove})
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	for _, c := range []struct {
		name string
		note MoveState
		mark string // id of the move that this node's mark says is done; "" none
		says string
	}{
		{"a node without a mark, while it is being moved into", MoveBegun, "", "are being moved"},
		{"a node of another move, while it is being moved into", MoveBegun, "OP2", "are being moved"},
		{"the node that was killed before it could say that it is done", MoveBegun, "OP1", ""},
		{"a node without a mark, afterwards", MoveDone, "", ""},
		{"a node of another move, afterwards", MoveDone, "OP2", "not the database"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := link.Update(func(tx shelf.Tx) error { return putNote(tx, moveNote{"OP1", c.note}) }); err != nil {
				t.Fatal(err)
			}
			n := &Node{}
			if c.mark != "" {
				n.moved = &MoveMark{ID: c.mark, State: MoveDone}
			}
			want := c.note
			switch err := n.openMoved(link); {
			case c.says == "" && err != nil:
				t.Error(err)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
				t.Errorf("%v, want a refusal that says %q", err, c.says)
			case c.says == "":
				want = MoveDone
			}
			if err := link.View(func(tx shelf.Tx) error {
				note, err := readNote(tx)
				if note != (moveNote{"OP1", want}) {
					t.Errorf("the note is %+v", note)
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
		})
	}
}
