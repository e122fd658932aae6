package record

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var foldEpoch = time.Date(2026, 3, 14, 9, 0, 0, 0, time.UTC)

func accEvent(method string, code int, offset time.Duration) Record {
	r := Record{Key: Key{Source: Kamailio, Instance: "edge", NativeID: "c1", Event: fmt.Sprintf("acc/%s/%d", method, code)},
		CallKey: "c1", Primary: true, Start: foldEpoch.Add(offset)}
	if method == "INVITE" {
		r.SIPCode, r.Status = code, Failed
		if code/100 == 2 {
			r.Status = Completed
		}
	}
	return r
}

// TestFoldKamailioOrderDoesNotMatter folds the events of one call in every
// order that rapid tries: the outcome is one.
func TestFoldKamailioOrderDoesNotMatter(t *testing.T) {
	cdr := Record{Key: Key{Source: Kamailio, Instance: "edge", NativeID: "c1", Event: "cdr"}, CallKey: "c1", Primary: true,
		Start: foldEpoch.Add(3 * time.Second), End: foldEpoch.Add(63 * time.Second), Duration: time.Minute, Billsec: time.Minute, STIR: STIR{Attest: "A"}}
	events := []Record{accEvent("INVITE", 486, 0), accEvent("INVITE", 200, time.Second), accEvent("INVITE", 503, 2*time.Second),
		accEvent("BYE", 200, 63*time.Second), cdr}
	rapid.Check(t, func(t *rapid.T) {
		r := FoldAll(rapid.Permutation(events).Draw(t, "order")...).Record
		if r.Status != Completed || r.SIPCode != 200 || !r.Start.Equal(cdr.Start) || !r.End.Equal(cdr.End) || r.Billsec != time.Minute || r.STIR.Attest != "A" {
			t.Fatalf("status=%s code=%d start=%s end=%s billsec=%s attest=%s", r.Status, r.SIPCode, r.Start, r.End, r.Billsec, r.STIR.Attest)
		}
	})
}

func TestFoldTwilioHighestSequenceWins(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var events []Record
		for n := range 5 {
			events = append(events, Record{Key: Key{Source: Twilio}, Sequence: int64(n), CallerName: fmt.Sprint(n)})
		}
		got := FoldAll(rapid.Permutation(events).Draw(t, "order")...)
		if got.Record.CallerName != "4" {
			t.Fatalf("sequence %s won, want 4", got.Record.CallerName)
		}
	})
}

func TestFoldOthersReplace(t *testing.T) {
	for _, s := range []SourceKind{FreeSWITCH, Asterisk, Native} {
		first, second := Record{Key: Key{Source: s}, CallerName: "a", SIPCode: 200}, Record{Key: Key{Source: s}, CallerName: "b"}
		before := NewView(first)
		if got := before.Fold(second); !reflect.DeepEqual(got.Record, second) || before.Record.CallerName != "a" {
			t.Errorf("%s: a later version does not replace the earlier, or the earlier was changed", s)
		}
	}
}

func TestContribution(t *testing.T) {
	r := Record{Primary: true, Direction: Inbound, From: Party{Country: "IE"}, To: Party{Country: "US"}, Status: Completed, Billsec: 61500 * time.Millisecond}
	got := ContributionOf(&r, foldEpoch)
	if want := (Contribution{Day: DayOf(foldEpoch), Direction: Inbound, Country: "IE", Calls: 1, Answered: 1, Billsec: 61}); got != want {
		t.Errorf("inbound: %+v, want %+v", got, want)
	}
	r.Direction, r.Status, r.Billsec = Outbound, NoAnswer, 0
	if got := ContributionOf(&r, foldEpoch); got.Country != "US" || got.Answered != 0 || got.Calls != 1 {
		t.Errorf("outbound, not answered: %+v", got)
	}
	r.Primary = false
	if got := ContributionOf(&r, foldEpoch); got != (Contribution{}) {
		t.Errorf("a leg that is not primary contributes %+v", got)
	}
	for us, want := range map[int64]int32{0: 0, 86399_999999: 0, 86400_000000: 1, -1: -1, -86400_000000: -1, -86400_000001: -2} {
		if got := DayOf(time.UnixMicro(us)); got != want {
			t.Errorf("day of %d µs is %d, want %d", us, got, want)
		}
	}
}
