package chaos

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// An entry of the Raft log that was damaged on one voter's disk must stop that
// voter, and no other: whoever lacks the entry gets it from a healthy one.
func TestINV34_ADamagedLogEntryIsNotPassedOn(t *testing.T) {
	w, c, x := quiet(t)
	n := &nemesis{t: t, ctx: t.Context(), w: w, c: c, draw: rand.New(rand.NewPCG(1, 1))}
	damaged, err := w.leader(t.Context())
	check(t, err)
	behind, healthy := w.others(damaged)[0], w.others(damaged)[1]
	check(t, w.Process(behind).Kill())
	check(t, shorten(t.Context(), c, x, damaged)) // what behind will have to be sent
	value, etag := x.last()
	n.quorum(damaged, healthy)
	check(t, w.Process(healthy).Kill())
	check(t, w.Process(damaged).Kill())
	logs, err := filepath.Glob(filepath.Join(w.data[damaged], "raft", "log", "*.log"))
	check(t, err)
	hits := 0
	for _, log := range logs {
		n, err := replaceInFile(log, retentionOf(t, value, 0), retentionOf(t, value, 1))
		check(t, err)
		hits += n
	}
	if hits == 0 {
		t.Fatalf("void: the log of %s does not hold the entry", damaged)
	}

	// The damaged one is ahead of behind, so it leads the two, and must send the entry.
	check(t, w.Process(behind).Start())
	check(t, w.Process(damaged).Start())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if how, err := w.Process(damaged).WaitEnd(ctx); err != nil || how == nil {
		t.Errorf("the voter with the damaged log: ended %v, %v", how, err)
	}
	check(t, n.start(healthy))
	check(t, w.Process(behind).WaitReady(ctx))
	n.ctx = ctx
	if _, err := n.probe(ctx); err != nil {
		t.Fatalf("the two healthy voters do not serve: %v", err)
	}
	quietly := &clients{w: w, h: newHistory()}
	(&objects{c: quietly}).readPolicy(ctx, 0, n.draw, x)
	if v, e := x.last(); v != value || e != etag {
		t.Errorf("after a damaged log the policy is %s at %s, and %s at %s was acknowledged", v, e, value, etag)
	}
}

// quorum waits until the given voters stand at one revision.
func (n *nemesis) quorum(voters ...string) {
	n.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; {
		at := map[string]bool{}
		for _, v := range voters {
			st := n.w.status(n.ctx, v)
			at[strconv.FormatInt(int64(st.GetRevision()), 10)] = true
		}
		if len(at) == 1 {
			return
		}
		if time.Now().After(end) {
			n.t.Fatalf("voters do not come together: %v", at)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// retentionOf is how a packed policy has a retention of so many seconds, some of whose
// bits are flipped.
func retentionOf(t *testing.T, seconds string, flip int64) []byte {
	t.Helper()
	n, err := strconv.ParseInt(seconds, 10, 64)
	check(t, err)
	return binary.AppendVarint(nil, n^flip)
}

// replaceInFile changes every place of old, in place, and counts them.
func replaceInFile(path string, old, new []byte) (int, error) {
	if len(old) != len(new) {
		return 0, fmt.Errorf("%q and %q have different lengths", old, new)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return bytes.Count(raw, old), os.WriteFile(path, bytes.ReplaceAll(raw, old, new), 0o600)
}
