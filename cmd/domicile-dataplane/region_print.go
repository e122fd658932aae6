package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/domicile-io/domicile/dataplane"
	"github.com/domicile-io/domicile/dataplane/move"
)

// printMove writes a move for people.
func printMove(w io.Writer, s dataplane.MoveStatus) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name string, format string, args ...any) { fmt.Fprintf(t, name+"\t"+format+"\n", args...) }
	switch {
	case s.State == "":
		row("MOVE", "none")
		return t.Flush()
	case s.State == dataplane.MoveDone:
		row("MOVE", "%s, done: the records are in the database", s.ID)
	case s.Runs:
		row("MOVE", "%s, runs", s.ID)
	default:
		row("MOVE", "%s, does not run; `start` goes on, `abort` gives it up", s.ID)
	}
	row("CONFIGURATION", "%s", s.To)
	if s.Error != "" {
		row("STOPPED", "%s", s.Error)
	}
	if m := s.Move; m != nil && m.Report == nil {
		row("PHASE", "%s", m.Phase)
		row("READ", "%d rows, %s of about %s", m.Rows, size(m.Bytes), size(m.Total))
		row("WRITTEN", "%d rows", m.Written)
		row("CHANGES", "%d rows wait", m.Changes)
		if m.Restarts > 0 {
			row("RESTARTS", "%d: more changed than is noted", m.Restarts)
		}
		if m.Problem != "" {
			row("WAITS", "%s", m.Problem)
		}
		if m.Phase == move.Following {
			row("NEXT", "`switch` lets writers pause and makes the database the region's")
		}
	}
	if s.Move != nil && s.Move.Report != nil {
		printMoved(row, s.Move.Report)
	}
	if s.Keys != nil && s.Keys.Destroyed {
		row("FORMER KEYS", "destroyed up to generation %d; destroy every other copy and backup of the key table too, and of the folder that held it", s.Keys.Generation)
	} else if s.Keys != nil {
		row("FORMER KEYS", "NOT DESTROYED: run `finish` on the stopped node with the configuration that it had")
	}
	if s.State == dataplane.MoveDone {
		row("NEXT", "start the node with %s", s.To)
	}
	return t.Flush()
}

func printMoved(row func(string, string, ...any), r *move.Report) {
	row("SWITCHED", "%s, after %s", r.Switched.Format(time.RFC3339), r.Switched.Sub(r.Began).Round(time.Second))
	row("PAUSE", "%s without writes; reads went on", r.Pause.Round(time.Millisecond))
	row("ROWS", "%d, %s, the same on both sides", r.Rows, size(r.Bytes))
	if r.Later > 0 {
		row("LATER", "%d rows changed after their table was compared; each was written again and read back", r.Later)
	}
	for _, t := range append(append([]move.Sum(nil), r.Tables...), r.Shelves...) {
		if t.Rows > 0 {
			row("  "+t.Name, "%d rows, %s, sha256 %s", t.Rows, size(t.Bytes), t.SHA256)
		}
	}
	var d dataplane.MovedDetails
	if raw, err := json.Marshal(r.Details); err == nil && json.Unmarshal(raw, &d) == nil {
		row("KEYS", "%d live and %d named, in generation %d; %d places stay without a key", d.Keys.Keys, d.Keys.Names, d.Keys.Generation, d.Keys.Destroyed)
		row("ERASURES", "%d in the ledger", d.Erasures)
	}
}
