package record

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// drawRecord draws a record with every field, also with odd content.
func drawRecord(t *rapid.T) Record {
	text := rapid.String()
	when := rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "never") {
			return time.Time{}
		}
		return time.UnixMicro(rapid.Int64Range(-1e15, 4e15).Draw(t, "us")).UTC()
	})
	subject := rapid.SampledFrom([]string{"", "SU000102030405060708090a0b0c0d0e0f", "SU000102030405060708090A0B0C0D0E0F", "odd"})
	party := func(name string) Party {
		return Party{Raw: text.Draw(t, name), E164: text.Draw(t, name), Country: text.Draw(t, name), Subject: subject.Draw(t, name)}
	}
	r := Record{
		Key:     Key{SourceKind(text.Draw(t, "source")), text.Draw(t, "instance"), text.Draw(t, "native id"), text.Draw(t, "leg"), text.Draw(t, "event")},
		CallKey: text.Draw(t, "call key"), Primary: rapid.Bool().Draw(t, "primary"), Sequence: rapid.Int64().Draw(t, "sequence"),
		From: party("from"), To: party("to"), CallerName: text.Draw(t, "name"),
		Direction: Direction(text.Draw(t, "direction")), Status: Status(text.Draw(t, "status")),
		Start: when.Draw(t, "start"), Ring: when.Draw(t, "ring"), Answer: when.Draw(t, "answer"), End: when.Draw(t, "end"),
		Duration: time.Duration(rapid.Int64Range(-1e12, 1e12).Draw(t, "duration")) * time.Microsecond,
		Billsec:  time.Duration(rapid.Int64Range(-1e12, 1e12).Draw(t, "billsec")) * time.Microsecond,
		SIPCode:  rapid.Int().Draw(t, "code"), Q850: rapid.Int().Draw(t, "cause"),
		STIR:       STIR{text.Draw(t, "attest"), text.Draw(t, "origid"), text.Draw(t, "verstat"), text.Draw(t, "spc")},
		ConsentRef: text.Draw(t, "consent"), AssumedZone: rapid.Bool().Draw(t, "zone"), AssumedCountry: rapid.Bool().Draw(t, "country"),
		NativeType: text.Draw(t, "type"),
	}
	if refs := rapid.SliceOf(text).Draw(t, "refs"); len(refs) > 0 {
		r.RecordingRefs = refs
	}
	if native := rapid.SliceOf(rapid.Byte()).Draw(t, "native"); len(native) > 0 {
		r.Native = native
	}
	copy(r.ContentHash[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "hash"))
	return r
}

func TestCodecRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawRecord(t)
		b := Append(nil, &want)
		got, err := Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatal("a record changed on its way through the binary form")
		}
		var w Space
		var there Record
		for range 2 { // the second is read into what the first left
			if err := w.Read(&there, b); err != nil || !reflect.DeepEqual(there, want) {
				t.Fatalf("a record that is read for a moment is another: %v", err)
			}
		}
		for n := range b {
			if _, err := Decode(b[:n]); err == nil {
				t.Fatalf("%d of %d bytes decode", n, len(b))
			}
			if err := w.Read(&there, b[:n]); err == nil || !reflect.DeepEqual(there, Record{}) {
				t.Fatalf("%d of %d bytes are read", n, len(b))
			}
		}
		if _, err := Decode(append(b, 0)); err == nil {
			t.Fatal("a trailing byte was taken")
		}
	})
}

// Reading into a Space takes no memory of its own, however many records are read.
func TestSpaceTakesNoMemory(t *testing.T) {
	b := Append(nil, &Record{CallKey: "x", From: Party{Raw: "+353861234567", Subject: "SU000102030405060708090a0b0c0d0e0f"}, RecordingRefs: []string{"a", "b"}, Native: []byte("n")})
	var w Space
	var r Record
	if n := testing.AllocsPerRun(100, func() {
		if err := w.Read(&r, b); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for each record", n)
	}
}

// TestCodecNewField fails when Record gains a field that the codec does not
// know: give it a new format number.
func TestCodecNewField(t *testing.T) {
	if n := len(leaves(reflect.TypeFor[Record](), "")); n != 38 {
		t.Fatalf("Record has %d leaf fields, the codec's format %d knows 38", n, codecFormat)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(Append(nil, &Record{}))
	f.Add(Append(nil, &Record{CallKey: "x", RecordingRefs: []string{"a"}, Native: []byte("n"), Start: time.UnixMicro(1)}))
	f.Add([]byte{codecFormat, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Decode(b)
		var w Space
		var there Record
		if readErr := w.Read(&there, b); (readErr == nil) != (err == nil) || !reflect.DeepEqual(there, r) {
			t.Fatalf("Decode and Read do not say the same: %v, %v", err, readErr)
		}
		if err != nil {
			return
		}
		again, err := Decode(Append(nil, &r))
		if err != nil || !reflect.DeepEqual(r, again) {
			t.Fatal("what decodes does not encode to the same record")
		}
		_ = bytes.Clone(r.Native)
	})
}
