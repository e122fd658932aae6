package recovery

import (
	"crypto/ed25519"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/policy"
)

const cluster = "CL00000000000000000000000000000001"

var now = time.Date(2026, 3, 1, 2, 3, 4, 0, time.UTC)

func key(n byte) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = n
	return ed25519.NewKeyFromSeed(seed)
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

func person(n int) string { return fmt.Sprintf("PR%032x", n) }

func statement() Statement {
	return Statement{Format: Format, Cluster: cluster, Survivor: "cp3", Lost: []string{"cp1", "cp2"}, LastIndex: 40, LastTerm: 7, Revision: 30, Epoch: 2, Time: now}
}

func signed(t *testing.T, s Statement, root ed25519.PrivateKey, who int, k ed25519.PrivateKey) Approval {
	t.Helper()
	o, err := Certify(root, s.Cluster, person(who), public(k))
	if err != nil {
		t.Fatal(err)
	}
	a, err := Approve(s, o, k)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestTwoDifferentPeopleSign(t *testing.T) {
	root, s := key(1), statement()
	one, two := signed(t, s, root, 1, key(2)), signed(t, s, root, 2, key(3))
	other := s
	other.LastIndex++
	elsewhere := s
	elsewhere.Cluster = "CL00000000000000000000000000000002"
	swapped := one
	swapped.Officer.Principal = person(2)
	for name, c := range map[string]struct {
		given []Approval
		at    time.Time
		says  string
	}{
		"two people":                     {[]Approval{one, two}, now, ""},
		"and one of them twice":          {[]Approval{one, two, one}, now.Add(time.Hour), ""},
		"nobody":                         {nil, now, "0 people"},
		"one person":                     {[]Approval{one}, now, "1 people"},
		"one signature twice":            {[]Approval{one, one}, now, "1 people"},
		"one person with two keys":       {[]Approval{one, signed(t, s, root, 1, key(4))}, now, "1 people"},
		"one key under two names":        {[]Approval{one, signed(t, s, root, 2, key(2))}, now, "1 keys"},
		"a name that was changed":        {[]Approval{two, swapped}, now, "not certified"},
		"another root's officer":         {[]Approval{one, signed(t, s, key(9), 2, key(3))}, now, "not certified"},
		"another statement":              {[]Approval{one, signed(t, other, root, 2, key(3))}, now, "not of its key"},
		"another cluster's officer":      {[]Approval{one, signed(t, elsewhere, root, 2, key(3))}, now, "another cluster"},
		"a statement of the day before":  {[]Approval{one, two}, now.Add(MaxAge + time.Second), "holds for"},
		"a statement from the future":    {[]Approval{one, two}, now.Add(-2 * time.Minute), "holds for"},
		"another signature of one's own": {[]Approval{one, {Officer: two.Officer, Signature: one.Signature}}, now, "not of its key"},
	} {
		err := Verify(s, c.given, public(root), c.at)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

func TestAStatementSaysEverything(t *testing.T) {
	seen := map[string]string{statement().SHA256(): "as it is"}
	for name, edit := range map[string]func(*Statement){
		"cluster": func(s *Statement) { s.Cluster = "CL00000000000000000000000000000002" }, "survivor": func(s *Statement) { s.Survivor = "cp2" },
		"lost": func(s *Statement) { s.Lost = s.Lost[:1] }, "index": func(s *Statement) { s.LastIndex++ }, "term": func(s *Statement) { s.LastTerm++ },
		"revision": func(s *Statement) { s.Revision++ }, "epoch": func(s *Statement) { s.Epoch++ }, "time": func(s *Statement) { s.Time = s.Time.Add(time.Second) },
	} {
		s := statement()
		edit(&s)
		if other, twice := seen[s.SHA256()]; twice {
			t.Errorf("%s and %s have one hash", name, other)
		}
		seen[s.SHA256()] = name
		if err := s.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, edit := range map[string]func(*Statement){
		"format": func(s *Statement) { s.Format = 2 }, "a line break": func(s *Statement) { s.Survivor = "cp3\ncp4" }, "a comma": func(s *Statement) { s.Lost = []string{"cp1,cp2"} },
		"no log": func(s *Statement) { s.LastIndex = 0 }, "the present epoch": func(s *Statement) { s.Revision = policy.RevisionOf(2, 1) },
		"no cluster": func(s *Statement) { s.Cluster = "" }, "no time": func(s *Statement) { s.Time = time.Time{} }, "beyond the last epoch": func(s *Statement) { s.Epoch = policy.MaxEpoch + 1 },
	} {
		s := statement()
		edit(&s)
		if s.Check() == nil {
			t.Errorf("%s was taken", name)
		}
	}
	words := strings.Join(statement().Words(), "\n")
	for _, want := range []string{"cp3 goes on alone", "cp1, cp2", "entry 40 of term 7", "epoch 2", "All tokens are void", "2026-03-01T02:03:04Z"} {
		if !strings.Contains(words, want) {
			t.Errorf("the words do not say %q:\n%s", want, words)
		}
	}
}

func TestApproveRefusals(t *testing.T) {
	o, err := Certify(key(1), cluster, person(1), public(key(2)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Approve(statement(), o, key(3)); err == nil {
		t.Error("another's key signed")
	}
	s := statement()
	s.Cluster = "CL00000000000000000000000000000002"
	if _, err := Approve(s, o, key(2)); err == nil {
		t.Error("a statement of another cluster was signed")
	}
	if _, err := Certify(key(1), cluster, "Aoife", public(key(2))); err == nil {
		t.Error("a name was certified")
	}
}
