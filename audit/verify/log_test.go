package verify_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/domicile-io/domicile/audit"
	"github.com/domicile-io/domicile/audit/verify"
)

// The logs of these tests are written by package audit, so that writer and
// verifier are held against each other.

const cluster = "CL00000000000000000000000000000001"

var private = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))

func leafOf(n int) audit.Leaf {
	return audit.Leaf{Index: uint64(n), Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(time.Duration(n) * time.Second),
		Actor: fmt.Sprintf("PR%032x", n%3), Action: "policy.put", Resource: fmt.Sprintf("TN%032x", n%5), Revision: uint64(n) + 1, Command: fmt.Sprintf("%064x", n)}
}

func encode(t rapid.TB, l audit.Leaf) []byte {
	t.Helper()
	b, err := l.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func records(t rapid.TB, n int) (out [][]byte) {
	for i := range n {
		out = append(out, encode(t, leafOf(i)))
	}
	return out
}

// sign builds the tree of some records anew and signs its checkpoint, as the
// keeper of the log can at any time.
func sign(t rapid.TB, rs [][]byte) []byte {
	t.Helper()
	var hashes []audit.Hash
	read := func(n uint64) (audit.Hash, error) { return hashes[n], nil }
	for i, r := range rs {
		_, more, err := audit.Append(uint64(i), r, read)
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, more...)
	}
	root, err := audit.Root(uint64(len(rs)), read)
	if err != nil {
		t.Fatal(err)
	}
	s, err := audit.NewSigner(audit.Origin(cluster), private.Public().(ed25519.PublicKey), func(m []byte) ([]byte, error) { return ed25519.Sign(private, m), nil })
	if err != nil {
		t.Fatal(err)
	}
	note, err := s.Sign(uint64(len(rs)), root)
	if err != nil {
		t.Fatal(err)
	}
	return note
}

func key() verify.Key {
	return verify.Key{Name: "domicile/" + cluster + "/control", Public: private.Public().(ed25519.PublicKey)}
}

// check is what an auditor does: open both checkpoints, then read all records.
func check(rs [][]byte, notes ...[]byte) error {
	var cs []verify.Checkpoint
	for _, n := range notes {
		c, err := verify.Open(n, key())
		if err != nil {
			return err
		}
		cs = append(cs, c)
	}
	l, err := verify.NewLog(cs...)
	if err != nil {
		return err
	}
	for _, r := range rs {
		if err := l.Add(r); err != nil {
			return err
		}
	}
	return l.Done()
}

func kindOf(err error) verify.Kind {
	var f *verify.Finding
	if errors.As(err, &f) {
		return f.Kind
	}
	return ""
}

func TestAnHonestLogVerifies(t *testing.T) {
	for n := range 40 {
		rs := records(t, n)
		newest := sign(t, rs)
		for m := range n + 1 {
			if err := check(rs, newest, sign(t, rs[:m]), newest); err != nil {
				t.Fatalf("%d records, older checkpoint of %d: %v", n, m, err)
			}
		}
	}
}

// tampering is what somebody may do to a log's records. It gives nil where it
// cannot be done.
var tampering = map[string]func(rt *rapid.T, rs [][]byte) [][]byte{
	"flip": func(rt *rapid.T, rs [][]byte) [][]byte {
		i := rapid.IntRange(0, len(rs)-1).Draw(rt, "record")
		rs[i] = bytes.Clone(rs[i])
		rs[i][rapid.IntRange(0, len(rs[i])-1).Draw(rt, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
		return rs
	},
	"delete": func(rt *rapid.T, rs [][]byte) [][]byte {
		i := rapid.IntRange(0, len(rs)-1).Draw(rt, "record")
		return slices.Delete(rs, i, i+1)
	},
	"insert": func(rt *rapid.T, rs [][]byte) [][]byte {
		i := rapid.IntRange(0, len(rs)-1).Draw(rt, "place") // behind the last it would be an honest append
		l := leafOf(i)
		l.Action = "tenant.delete"
		return slices.Insert(rs, i, encode(rt, l))
	},
	"repeat": func(rt *rapid.T, rs [][]byte) [][]byte {
		i := rapid.IntRange(0, len(rs)-1).Draw(rt, "record")
		return slices.Insert(rs, i, rs[i])
	},
	"reorder": func(rt *rapid.T, rs [][]byte) [][]byte {
		i, j := rapid.IntRange(0, len(rs)-1).Draw(rt, "one"), rapid.IntRange(0, len(rs)-1).Draw(rt, "other")
		if i == j {
			return nil
		}
		rs[i], rs[j] = rs[j], rs[i]
		return rs
	},
	"truncate": func(rt *rapid.T, rs [][]byte) [][]byte {
		return rs[:rapid.IntRange(0, len(rs)-1).Draw(rt, "left")]
	},
	"rewrite": func(rt *rapid.T, rs [][]byte) [][]byte {
		i := rapid.IntRange(0, len(rs)-1).Draw(rt, "record")
		l := leafOf(i)
		l.Actor = fmt.Sprintf("PR%032x", 99)
		rs[i] = encode(rt, l)
		return rs
	},
	"delete and renumber": func(rt *rapid.T, rs [][]byte) [][]byte {
		gone := rapid.IntRange(0, len(rs)-1).Draw(rt, "record")
		var out [][]byte
		for i := range rs {
			if i == gone {
				continue
			}
			l := leafOf(i)
			l.Index, l.Revision = uint64(len(out)), uint64(len(out))+1
			out = append(out, encode(rt, l))
		}
		return out
	},
}

// Whoever cannot sign is found in all they do, without any older checkpoint.
func TestINV26_TamperingIsFound(t *testing.T) {
	for name, tamper := range tampering {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				rs := records(t, rapid.IntRange(1, 24).Draw(rt, "size"))
				note := sign(t, rs)
				if bad := tamper(rt, slices.Clone(rs)); bad != nil && kindOf(check(bad, note)) == "" {
					rt.Fatal("it was not found")
				}
			})
		})
	}
}

// Whoever holds the log's key can sign what they changed; then a checkpoint
// that somebody kept finds it, if it covers what was changed.
func TestINV26_TamperingByTheKeysHolderIsFoundByAnOlderCheckpoint(t *testing.T) {
	for name, tamper := range tampering {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				rs := records(t, rapid.IntRange(1, 24).Draw(rt, "size"))
				kept := sign(t, rs)
				bad := tamper(rt, slices.Clone(rs))
				if bad == nil {
					return
				}
				for n := range rapid.IntRange(0, 5).Draw(rt, "more") { // the log goes on afterwards
					l := leafOf(len(bad))
					l.Command = fmt.Sprintf("%064x", 1000+n)
					bad = append(bad, encode(rt, l))
				}
				if kindOf(check(bad, kept, sign(t, bad))) == "" {
					rt.Fatal("it was not found")
				}
			})
		})
	}
}

// Each kind of tampering gets the finding that tells a reader what happened.
func TestINV26_FindingsSayWhatHappened(t *testing.T) {
	rs := records(t, 9)
	note := sign(t, rs)
	rewritten := slices.Clone(rs)
	rewritten[4] = []byte(strings.Replace(string(rs[4]), `"policy.put"`, `"policy.get"`, 1))
	skipped := leafOf(8)
	skipped.Revision++
	padded := slices.Clone(rs)
	padded[2] = append(slices.Clone(rs[2]), ' ')
	for name, c := range map[string]struct {
		records [][]byte
		notes   [][]byte
		kind    verify.Kind
		index   uint64
	}{
		"changed":            {rewritten, [][]byte{note}, verify.Altered, 9},
		"changed, bisected":  {rewritten, [][]byte{note, sign(t, rs[:5])}, verify.Altered, 5},
		"changed, signed":    {rewritten, [][]byte{sign(t, rewritten), sign(t, rs[:6])}, verify.Altered, 6},
		"forked":             {rs, [][]byte{note, sign(t, rewritten)}, verify.Fork, 9},
		"removed":            {slices.Delete(slices.Clone(rs), 3, 4), [][]byte{note}, verify.OutOfOrder, 3},
		"cut":                {rs[:7], [][]byte{note}, verify.Truncated, 7},
		"cut and signed":     {rs[:7], [][]byte{sign(t, rs[:7]), note}, verify.Truncated, 7},
		"too many":           {records(t, 10), [][]byte{note}, verify.Unsigned, 9},
		"a change unwritten": {append(slices.Clone(rs[:8]), encode(t, skipped)), [][]byte{note}, verify.Missing, 8},
		"white space":        {padded, [][]byte{note}, verify.BadRecord, 2},
		"nothing signed":     {rs[:1], nil, verify.Unsigned, 0},
	} {
		err := check(c.records, c.notes...)
		var f *verify.Finding
		if !errors.As(err, &f) || f.Kind != c.kind || f.Index != c.index {
			t.Errorf("%s: %v, want %s at %d", name, err, c.kind, c.index)
		}
	}
}

// A restore or a recovery goes on in a later epoch, and its record says so.
// Nothing else may pass over revisions.
func TestINV26_OnlyARestoreBeginsAnEpoch(t *testing.T) {
	const span = 1_000_000_000_000
	log := func(edit func(first *audit.Leaf)) [][]byte {
		rs := records(t, 3)
		first := leafOf(3)
		first.Action, first.Resource, first.Revision = "cluster.restore", cluster, span+4
		edit(&first)
		next := leafOf(4)
		next.Revision = first.Revision + 1
		return append(rs, encode(t, first), encode(t, next))
	}
	for name, c := range map[string]struct {
		edit func(*audit.Leaf)
		good bool
	}{
		"restored":           {func(*audit.Leaf) {}, true},
		"recovered":          {func(l *audit.Leaf) { l.Action, l.Revision = "cluster.recover", 7*span+4 }, true},
		"another change":     {func(l *audit.Leaf) { l.Action = "policy.put" }, false},
		"count passed over":  {func(l *audit.Leaf) { l.Revision++ }, false},
		"count taken back":   {func(l *audit.Leaf) { l.Revision-- }, false},
		"no later epoch":     {func(l *audit.Leaf) { l.Revision = 5 }, false},
		"within the present": {func(l *audit.Leaf) { l.Revision = 4 }, true},
	} {
		rs := log(c.edit)
		err := check(rs, sign(t, rs))
		var f *verify.Finding
		if c.good && err != nil || !c.good && (!errors.As(err, &f) || f.Kind != verify.Missing || f.Index != 3) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzRecords: whatever bytes come, nothing but the signed ones verifies.
func FuzzRecords(f *testing.F) {
	rs := records(f, 2)
	note := sign(f, rs)
	f.Add(rs[0], rs[1])
	f.Add([]byte(`{"format":1,"format":1}`), []byte(`null`))
	f.Add([]byte(`{"Format":1}`), []byte(`{} {}`))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		same := bytes.Equal(a, rs[0]) && bytes.Equal(b, rs[1])
		if err := check([][]byte{a, b}, note); (err == nil) != same {
			t.Errorf("verified: %v", err)
		}
	})
}
