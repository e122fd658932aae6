package record

import (
	"bytes"
	"testing"
	"time"
)

func kamailio(event string, change func(*Record)) Record {
	r := Record{Key: Key{Source: Kamailio, NativeID: "c", Event: event}, CallKey: "c"}
	change(&r)
	return r
}

// What one event of a call does not say, another's words fill in; what a cdr
// says of times replaces what an acc said.
func TestFoldKamailioFillsWhatIsMissing(t *testing.T) {
	at := func(s int) time.Time { return foldEpoch.Add(time.Duration(s) * time.Second) }
	named := Party{Raw: "+353861234567", E164: "+353861234567", Country: "IE"}
	acc := kamailio("acc/BYE/200", func(r *Record) {
		r.From, r.Direction, r.Start, r.End, r.Duration = Party{Raw: "edge"}, Inbound, at(1), at(9), 8*time.Second
	})
	later := kamailio("acc/BYE/481", func(r *Record) { r.To, r.Start, r.End = named, at(0), at(10) })
	cdr := kamailio("cdr", func(r *Record) {
		r.From, r.To, r.Direction, r.Start, r.Ring, r.Answer, r.End, r.Duration = named, named, Outbound, at(2), at(3), at(4), at(8), 6*time.Second
	})
	r := FoldAll(acc, later).Record
	if !r.Start.Equal(at(0)) || !r.End.Equal(at(10)) || r.Duration != 8*time.Second || r.From.Raw != "edge" || r.To != named {
		t.Errorf("two accs: %s to %s, %s", r.Start, r.End, r.Duration)
	}
	r = FoldAll(acc, later, cdr).Record
	if !r.Start.Equal(at(2)) || !r.Ring.Equal(at(3)) || !r.Answer.Equal(at(4)) || !r.End.Equal(at(8)) || r.Duration != 6*time.Second {
		t.Errorf("a cdr after accs: %s, %s, %s, %s, %s", r.Start, r.Ring, r.Answer, r.End, r.Duration)
	}
	if r.From != named || r.To != named || r.Direction != Inbound {
		t.Errorf("a party without a number stayed, or a direction that was said changed to %q", r.Direction)
	}
	// An acc after the cdr fills only what the cdr left open.
	rung := kamailio("acc/INVITE/180", func(r *Record) { r.Ring, r.Answer, r.Start = at(5), at(6), at(7) })
	bare := kamailio("cdr", func(r *Record) { r.Start, r.End = at(2), at(8) })
	r = FoldAll(bare, rung).Record
	if !r.Start.Equal(at(2)) || !r.Ring.Equal(at(5)) || !r.Answer.Equal(at(6)) || !r.End.Equal(at(8)) {
		t.Errorf("an acc after a cdr: %s, %s, %s, %s", r.Start, r.Ring, r.Answer, r.End)
	}
}

// A stored record with any one byte changed is decoded or refused; it never
// makes the process fail. (The seal refuses it before; this is the second line.)
func TestDecodeSurvivesAnyByte(t *testing.T) {
	good := Append(Form{}, &Record{Key: Key{Source: Kamailio, NativeID: "c"}, From: Party{Raw: "a", Subject: "SU0123456789abcdef0123456789abcdef"}, To: Party{Raw: "b"}})
	refused := 0
	for i := range good.Text {
		bad := Form{bytes.Clone(good.Text), good.Noise}
		bad.Text[i] ^= 0x47
		if _, err := Decode(bad); err != nil {
			refused++
		}
	}
	if refused == 0 {
		t.Error("no changed byte was noticed")
	}
}
