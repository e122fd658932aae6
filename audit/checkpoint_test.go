package audit

import (
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

// The bytes are frozen: Ed25519 is deterministic, and checkpoints are kept.
func TestCheckpointIsFrozen(t *testing.T) {
	s, _ := signer(t)
	got, err := s.Sign(3, Hash{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	want := "domicile/CL00000000000000000000000000000001/control\n3\nAQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n— domicile/CL00000000000000000000000000000001/control "
	if !strings.HasPrefix(string(got), want) || strings.Count(string(got), "\n") != 5 {
		t.Errorf("checkpoint is\n%s", got)
	}
	again, err := s.Sign(3, Hash{1, 2, 3})
	if err != nil || string(again) != string(got) {
		t.Errorf("a second signing differs: %v", err)
	}
	v, err := note.NewVerifier(s.VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open(got, note.VerifierList(v)); err != nil {
		t.Errorf("the library does not open it: %v", err)
	}
}

func TestNewSignerRefuses(t *testing.T) {
	_, public := signer(t)
	none := func([]byte) ([]byte, error) { return nil, errors.New("no key") }
	for name, c := range map[string]struct {
		origin string
		public ed25519.PublicKey
	}{"short key": {"a", public[:31]}, "space": {"a b", public}, "plus": {"a+b", public}, "empty": {"", public}} {
		if _, err := NewSigner(c.origin, c.public, none); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	s, _ := signer(t)
	if s.Origin() != "domicile/CL00000000000000000000000000000001/control" {
		t.Error(s.Origin())
	}
	if s, err := NewSigner("a", public, none); err != nil {
		t.Error(err)
	} else if _, err := s.Sign(1, Hash{}); err == nil {
		t.Error("signed without a signature")
	}
}
