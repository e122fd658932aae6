package guesses

import (
	"strconv"
	"testing"
)

func TestINV41_GuessesCostBoundedMemoryAndBoundOnlyTheirOwn(t *testing.T) {
	l, err := New(Options{PerSecond: 1e-9, AtOnce: 3, Remembered: 8}) // a share that does not come back while this runs
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if l.Exhausted("a") || !l.Allow("a") {
			t.Fatalf("refusal %d of 3 was not allowed", i+1)
		}
	}
	if !l.Exhausted("a") || l.Allow("a") {
		t.Error("a fourth refusal was allowed")
	}
	if l.Exhausted("b") || !l.Allow("b") {
		t.Error("another name pays for it")
	}
	for i := range 1000 {
		l.Allow(strconv.Itoa(i))
		l.Allow("a") // goes on: it is never the quietest
	}
	if n := l.seen.Len(); n > 8 {
		t.Errorf("%d names are remembered, 8 may be", n)
	}
	if l.Allow("a") {
		t.Error("the one that goes on was forgotten for those that come and go")
	}
}

func TestAddress(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8:1:2:3::4": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64",
		"": "", "192.0.2.1:443": "", "example.test": "",
	} {
		if got := Address(text); got != want {
			t.Errorf("%q counts as %q, want %q", text, got, want)
		}
	}
}
