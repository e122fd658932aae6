package record

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"

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
	switch rapid.IntRange(0, 2).Draw(t, "key") {
	case 1:
		r.CallKey = r.Key.NativeID
	case 2:
		r.CallKey = r.Key.NativeID + keySeparator + r.Key.Leg
	}
	if r.HashOfBytes = rapid.Bool().Draw(t, "hash of bytes"); r.HashOfBytes {
		r.ContentHash = sha256.Sum256(r.Native)
		return r
	}
	copy(r.ContentHash[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "hash"))
	return r
}

func TestCodecRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawRecord(t)
		b := Append(Form{}, &want)
		got, err := Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatal("a record changed on its way through the binary form")
		}
		if want.HashOfBytes {
			want.ContentHash = [32]byte{} // which nobody who reads for a moment asks for
		}
		var w Space
		var there Record
		for range 2 { // the second is read into what the first left
			if err := w.Read(&there, b); err != nil || !reflect.DeepEqual(there, want) {
				t.Fatalf("a record that is read for a moment is another: %v", err)
			}
		}
		refused := func(f Form) {
			if _, err := Decode(f); err == nil {
				t.Fatalf("%d + %d of %d + %d bytes decode", len(f.Text), len(f.Noise), len(b.Text), len(b.Noise))
			}
			if err := w.Read(&there, f); err == nil || !reflect.DeepEqual(there, Record{}) {
				t.Fatalf("%d + %d of %d + %d bytes are read", len(f.Text), len(f.Noise), len(b.Text), len(b.Noise))
			}
		}
		for n := range b.Text {
			refused(Form{b.Text[:n], b.Noise})
		}
		for n := range b.Noise {
			refused(Form{b.Text, b.Noise[:n]})
		}
		refused(Form{append(b.Text, 0), b.Noise})
		refused(Form{b.Text, append(b.Noise, 0)})
	})
}

// Texts that are parts of the payload are written as such, wherever they stand in it,
// and come back; others that say the same are written out.
func TestCodecParts(t *testing.T) {
	const text = `{"native_id":"call-17","leg":"b","from":"+353861234567","to":"sip:alice@example.org","refs":["s3://one","s3://two"]}`
	native := []byte(text)
	all := unsafe.String(&native[0], len(native))
	of := func(s string) string { at := strings.Index(all, s); return all[at : at+len(s)] }
	r := Record{Key: Key{NativeID: of("call-17"), Leg: of(`"b"`)}, From: Party{Raw: of("+353861234567"), E164: of("+353861234567")}, To: Party{Raw: of("sip:alice@example.org")},
		CallerName: of("native"), RecordingRefs: []string{of("s3://two"), of("s3://one")}, Native: native, CallKey: "call-17\x1f\"b\""}
	parts := Append(Form{}, &r)
	apart, err := Decode(parts)
	if err != nil || !reflect.DeepEqual(apart, r) {
		t.Fatalf("%+v, %v", apart, err)
	}
	var w Space
	var there Record
	if err := w.Read(&there, parts); err != nil || !reflect.DeepEqual(there, r) {
		t.Fatalf("%+v, %v", there, err)
	}
	written := Append(Form{}, &apart) // of which no text is a part of anything
	if again, err := Decode(written); err != nil || !reflect.DeepEqual(again, r) || len(written.Text) < len(parts.Text)+60 {
		t.Fatalf("%d bytes in parts and %d written out, %v", len(parts.Text), len(written.Text), err)
	}
	for at := range parts.Text { // no change of a byte reads outside of the payload
		for bit := range 8 {
			changed := Form{bytes.Clone(parts.Text), parts.Noise}
			changed.Text[at] ^= 1 << bit
			_, _ = Decode(changed)
			_ = w.Read(&there, changed)
		}
	}
}

// A text that only begins or only ends in the payload is none of its parts: payloads
// of one body stand side by side.
func TestCodecNeighbours(t *testing.T) {
	body := []byte("one payload and the next one")
	for _, r := range []Record{
		{CallerName: unsafe.String(&body[6], 8), Native: body[:11:11]},
		{CallerName: unsafe.String(&body[4], 10), Native: body[12:]},
		{CallerName: unsafe.String(&body[0], 11), Native: body[12:]},
	} {
		if got, err := Decode(Append(Form{}, &r)); err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%+v becomes %+v, %v", r, got, err)
		}
	}
}

// A call key that is put together of other fields does not stand there as well.
func TestCodecKeyOnce(t *testing.T) {
	b := Append(Form{}, &Record{CallKey: "x"})
	for _, flag := range []byte{flagKeyIsID, flagKeyIsLeg, flagKeyIsID | flagKeyIsLeg} {
		b.Text[1] = flag
		if _, err := Decode(b); err == nil {
			t.Errorf("flags %b are taken", flag)
		}
	}
}

// Reading into a Space takes no memory of its own, however many records are read.
func TestSpaceTakesNoMemory(t *testing.T) {
	b := Append(Form{}, &Record{Key: Key{NativeID: "x", Leg: "y"}, CallKey: "x\x1fy", From: Party{Raw: "+353861234567", Subject: "SU000102030405060708090a0b0c0d0e0f"}, RecordingRefs: []string{"a", "b"}, Native: []byte("n")})
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
	if n := len(leaves(reflect.TypeFor[Record](), "")); n != 39 {
		t.Fatalf("Record has %d leaf fields, the codec's format %d knows 39", n, codecFormat)
	}
}

// Ids of subjects as the store gives them stand apart, all others with the texts.
func TestCodecNoise(t *testing.T) {
	id := "SU000102030405060708090a0b0c0d0e0f"
	for _, c := range []struct {
		from, to string
		noise    int
	}{{"", "", 0}, {id, "", 16}, {"", id, 16}, {id, id, 32}, {id, strings.ToUpper(id), 16}, {"odd", "SU00", 0}} {
		r := Record{From: Party{Subject: c.from}, To: Party{Subject: c.to}}
		f := Append(Form{Noise: []byte("before")}, &r)
		if n := len(f.Noise) - len("before"); n != c.noise {
			t.Errorf("%q, %q: %d bytes of noise, want %d", c.from, c.to, n, c.noise)
		}
		f.Noise = f.Noise[len("before"):]
		if got, err := Decode(f); err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%q, %q: %+v, %v", c.from, c.to, got, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	native := []byte(`{"id":"call-17"}`)
	for _, r := range []Record{{}, {CallKey: "x", RecordingRefs: []string{"a"}, Native: []byte("n"), Start: time.UnixMicro(1)},
		{Key: Key{NativeID: unsafe.String(&native[7], 7)}, CallKey: "call-17\x1f", Native: native},
		{From: Party{Subject: "SU000102030405060708090a0b0c0d0e0f"}, To: Party{Subject: "SU000102030405060708090a0b0c0d0e00"}}} {
		form := Append(Form{}, &r)
		f.Add(form.Text, form.Noise)
	}
	f.Add([]byte{codecFormat, 0xff}, []byte{})
	f.Fuzz(func(t *testing.T, text, noise []byte) {
		b := Form{text, noise}
		r, err := Decode(b)
		var w Space
		var there Record
		whole := r
		if r.HashOfBytes {
			r.ContentHash = [32]byte{}
		}
		if readErr := w.Read(&there, b); (readErr == nil) != (err == nil) || !reflect.DeepEqual(there, r) {
			t.Fatalf("Decode and Read do not say the same: %v, %v", err, readErr)
		}
		if err != nil {
			return
		}
		again, err := Decode(Append(Form{}, &r))
		if err != nil || !reflect.DeepEqual(whole, again) {
			t.Fatal("what decodes does not encode to the same record")
		}
		_ = bytes.Clone(r.Native)
	})
}

// Two forms are equal when both of their parts are.
func TestFormsAreEqualInBothParts(t *testing.T) {
	f := Form{Text: []byte("text"), Noise: []byte("noise")}
	for _, g := range []Form{{}, {Text: f.Text}, {Noise: f.Noise}, {Text: f.Noise, Noise: f.Text}, {Text: []byte("text"), Noise: []byte("Noise")}} {
		if f.Equal(g) || g.Equal(f) {
			t.Errorf("%q equals %q", f, g)
		}
	}
	if !f.Equal(Form{Text: []byte("text"), Noise: []byte("noise")}) || !(Form{}).Equal(Form{Text: []byte{}, Noise: []byte{}}) {
		t.Error("equal forms are not equal")
	}
}

func TestPutHexWritesEveryByte(t *testing.T) {
	for c := range 256 {
		src, dst := []byte{byte(c), byte(c * 7), 0}, []byte("......-")
		if PutHex(dst, src); string(dst) != hex.EncodeToString(src)+"-" {
			t.Errorf("%q of %x", dst, src)
		}
	}
}
