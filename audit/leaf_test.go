package audit

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// The canonical form is frozen: hashes of old records depend on each byte.
func TestLeafIsFrozen(t *testing.T) {
	l := leaf(7)
	l.Time = l.Time.In(time.FixedZone("elsewhere", 3600))
	got, err := l.Encode()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"format":1,"index":7,"time":"2026-01-02T03:04:05.000000007Z","actor":"PR0000000000000000000000000000000a","action":"tenant.create",` +
		`"resource":"TN00000000000000000000000000000007","revision":8,"command":"0000000000000000000000000000000000000000000000000000000000000007","outcome":"applied"}`
	if string(got) != want {
		t.Errorf("leaf is\n%s\nwant\n%s", got, want)
	}
	if len(got) > MaxLeaf {
		t.Errorf("a leaf of %d bytes is longer than MaxLeaf", len(got))
	}
}

func TestLongestLeafFits(t *testing.T) {
	l := leaf(1)
	l.Index, l.Revision = 1<<63-1, 1<<64-1
	l.Time = time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC)
	l.Action = Action(strings.Repeat("a", 20) + "." + strings.Repeat("b", 20))
	b, err := l.Encode()
	if err != nil || len(b) > MaxLeaf {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

// What a person could be known by has no place in any field.
func TestINV29_LeafHoldsClosedFormsOnly(t *testing.T) {
	canaries := []string{"", "Aoife Kelly", "aoife@example.ie", "+353861234567", "353861234567", "acme", "TN00000000000000000000000000000001\n", "TN0000000000000000000000000000000G", `PR"`}
	fields := map[string]func(*Leaf, string){
		"actor":    func(l *Leaf, s string) { l.Actor = s },
		"action":   func(l *Leaf, s string) { l.Action = Action(s) },
		"resource": func(l *Leaf, s string) { l.Resource = s },
		"command":  func(l *Leaf, s string) { l.Command = s },
	}
	for name, set := range fields {
		for _, c := range canaries {
			l := leaf(1)
			set(&l, c)
			_, err := l.Encode()
			if err == nil {
				t.Errorf("%s %q was taken", name, c)
			} else if c != "" && strings.Contains(err.Error(), c) {
				t.Errorf("%s: the error repeats what it refuses: %v", name, err)
			}
		}
	}
	for name, l := range map[string]Leaf{"time": {}, "revision": {}} {
		good := leaf(1)
		if name == "time" {
			good.Time = l.Time
		} else {
			good.Revision = 0
		}
		if _, err := good.Encode(); err == nil {
			t.Errorf("a leaf without %s was taken", name)
		}
	}
}

// The writer that no reflection slows gives what encoding/json gives.
func TestLeafIsTheJSONOfItsFields(t *testing.T) {
	for n := range uint64(400) {
		l := leaf(int(n))
		l.Index, l.Revision = n*n*n*7919, n*n*104729+1
		l.Time = time.Unix(int64(n)*5_000_000, int64(n%10)*int64(n)*1000).UTC()
		l.Actor = []string{l.Actor, "ND0123456789abcdef0123456789abcdef", "bootstrap"}[n%3]
		l.Resource = []string{l.Resource, "ie1", "SCC-2021", "CL0123456789abcdef0123456789abcdef"}[n%4]
		got, err := l.Encode()
		if err != nil {
			t.Fatal(err)
		}
		l.Format, l.Outcome = LeafFormat, Applied
		want, err := json.Marshal(l)
		if err != nil || string(got) != string(want) {
			t.Fatalf("leaf is\n%s\nwant\n%s %v", got, want, err)
		}
	}
}
