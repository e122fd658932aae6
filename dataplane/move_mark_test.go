package dataplane

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/move"
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
