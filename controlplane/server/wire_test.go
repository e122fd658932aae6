package server

import (
	"testing"

	"google.golang.org/protobuf/proto"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

func TestSharedPushesDecode(t *testing.T) {
	if n := (&controlv1.Push{}).ProtoReflect().Descriptor().Fields().ByName("nonce").Number(); n != 2 {
		t.Fatalf("the nonce is field %d", n)
	}
	want := &controlv1.Push{Revision: 7, FreshUntil: 9, Change: &controlv1.Push_Delta{Delta: &controlv1.Delta{FromRevision: 6, Rows: [][]byte{{1}}, Removed: []string{"r/ie1"}}}}
	push, err := encode(want)
	if err != nil {
		t.Fatal(err)
	}
	codec, a, b := newWireCodec(), newSession(standing{}), newSession(standing{})
	a.sent()
	for nonce, s := range map[uint64]*session{2: a, 1: b} {
		wire, err := codec.Marshal(s.sending(push))
		if err != nil {
			t.Fatal(err)
		}
		var got controlv1.Push
		if err := codec.Unmarshal(wire, &got); err != nil {
			t.Fatal(err)
		}
		if want.Nonce = nonce; !proto.Equal(&got, want) {
			t.Errorf("got %v, want %v", &got, want)
		}
	}
	if s := a.sending(waiting); s.nonce != nil || a.depth() != 2 {
		t.Error("a notice to wait counts as a push")
	}
}

// Pushes that a slow node has not been sent yet wait for it as much as those that
// it has not answered.
func TestDepthCountsWhatIsNotSentYet(t *testing.T) {
	s := newSession(standing{})
	s.sent()
	s.sent()
	s.next = 4
	for end, want := range map[uint64]uint64{4: 2, 9: 7, 3: 2} { // 3: the tail was reset
		if s.lag(end); s.depth() != want {
			t.Errorf("at %d of %d with two unanswered, the depth is %d, want %d", s.next, end, s.depth(), want)
		}
	}
	if s.answer(2); s.depth() != 0 && s.behind == 0 {
		t.Errorf("answered, the depth is %d", s.depth())
	}
	s.lag(4)
	if s.depth() != 0 {
		t.Errorf("answered and all sent, the depth is %d", s.depth())
	}
}

func TestTailForgetsTheOldest(t *testing.T) {
	var l tail
	for i := range uint64(maxTailPushes + 10) {
		l.add(pushed{from: i, to: i + 1, body: make([]byte, 100)})
	}
	if _, there := l.at(9); there || l.first != 10 || l.end() != maxTailPushes+10 {
		t.Errorf("first %d, end %d", l.first, l.end())
	}
	if p, there := l.at(10); !there || p.from != 10 {
		t.Errorf("%+v %v", p, there)
	}
	l.add(pushed{body: make([]byte, maxTailBytes+1)})
	if l.end()-l.first != 1 || l.bytes != maxTailBytes+1 {
		t.Errorf("%d pushes of %d bytes", l.end()-l.first, l.bytes)
	}
	end := l.end()
	l.reset()
	if _, there := l.at(end); there || l.end() <= end {
		t.Error("a session could go on over a reset")
	}
}

func TestChangesCountSinceTheLatestSpool(t *testing.T) {
	var c changes
	c.note("t/a", 4)
	if c.after(0) != nil {
		t.Error("noted without a spool")
	}
	c.begin(5, false)
	c.note("t/a", 6)
	c.note("t/a", 7)
	c.note("t/b", 8)
	if c.since != 2 || len(c.after(5)) != 2 || len(c.after(7)) != 1 {
		t.Errorf("%+v", c)
	}
	epoch := c.epoch
	c.begin(8, true) // an earlier spool is still being sent
	c.note("t/b", 9)
	if c.since != 1 || len(c.after(5)) != 2 || c.epoch != epoch {
		t.Errorf("%+v", c)
	}
	c.begin(9, false)
	if len(c.after(0)) != 0 || c.epoch == epoch {
		t.Errorf("%+v", c)
	}
}
