package store

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/domicile-io/domicile/policy"
)

// packable gives the objects of some that are packed.
func packable(r *rand.Rand) (out []any) {
	for _, v := range some(r) {
		switch v := v.(type) {
		case Policy:
			out = append(out, v)
		case wireCommand[Payload]:
			if _, create := v.Payload.(CreateTenant); !create {
				v.Stamp.Now = v.Stamp.Now.UTC() // as Encode has it
				out = append(out, v)
			}
		}
	}
	return out
}

func packed(v any) (content []byte, ok bool) {
	switch v := v.(type) {
	case Policy:
		return packStored(&v)
	case wireCommand[Payload]:
		c := Command(v)
		return packCommand([]byte{commandPacked, 0, byte(c.Kind())}, &c)
	}
	return nil, false
}

// unpacked reads content as an object of v's kind.
func unpacked(v any, content []byte) (object any, ok bool) {
	if _, row := v.(Policy); row {
		var p Policy
		ok = unpackStored(content, &p)
		return p, ok
	}
	c, err := Decode(content)
	return wireCommand[Payload](c), err == nil
}

// throughJSON is what encoding/json makes of an object and reads of that again.
func throughJSON(v any) (object any, err error) {
	content, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case Policy:
		var p Policy
		err = strictJSON(content, &p)
		return p, err
	case wireCommand[Payload]:
		header := []byte{commandJSON, 0, byte(v.Payload.kind())}
		c, err := Decode(append(header, content...))
		return wireCommand[Payload](c), err
	}
	return nil, err
}

// What is packed and read again is what it would be as JSON; what JSON cannot say of a
// policy cannot be packed.
func TestPackedFormsSayWhatJSONSays(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	compared, refused := 0, 0
	for range 1000 {
		for _, v := range packable(r) {
			content, ok := packed(v)
			if !ok {
				if refused++; !refusedByJSON(v) {
					t.Fatalf("%T could not be packed, and is JSON:\n%+v", v, v)
				}
				continue
			}
			got, ok := unpacked(v, content)
			if !ok {
				t.Fatalf("%T was packed and cannot be read:\n%+v\n%x", v, v, content)
			}
			want, err := throughJSON(v)
			if text, _ := json.Marshal(want); err != nil || bytes.Contains(text, []byte("\ufffd")) || bytes.Contains(text, []byte(`\ufffd`)) {
				continue // a year beyond 9999, or no text
			}
			compared++
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("%T: %s", v, cmp.Diff(want, got))
			}
		}
	}
	if compared < 2000 || refused < 100 {
		t.Errorf("only %d objects were compared and %d refused", compared, refused)
	}
}

func refusedByJSON(v any) bool {
	_, err := json.Marshal(v)
	return err != nil
}

// A packed value has one form: what was damaged is refused, or is another value.
func TestPackedFormsAreStrict(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	refused := 0
	for range 1000 {
		for _, v := range packable(r) {
			content, ok := packed(v)
			if !ok || bytes.ContainsAny(content, "{[") {
				continue // JSON in it has several forms
			}
			damaged := bytes.Clone(content)
			switch at := r.IntN(len(content)); r.IntN(4) {
			case 0:
				damaged[at] ^= 1 << r.IntN(8)
			case 1:
				damaged = append(damaged[:at], damaged[at+1:]...)
			case 2:
				damaged = damaged[:at]
			default:
				damaged = append(damaged[:at], append([]byte{byte(r.IntN(256))}, damaged[at:]...)...)
			}
			got, ok := unpacked(v, damaged)
			if !ok {
				refused++
				continue
			}
			if again, ok := packed(got); !ok || !bytes.Equal(again, damaged) {
				t.Fatalf("%T was read of another form than its own:\n%x\n%x", v, damaged, again)
			}
		}
	}
	if refused < 1000 {
		t.Errorf("only %d were refused", refused)
	}
}

// Whoever adds a field must pack it: each object with every field set, at any depth,
// is read as it was written.
func TestPackedFormsHaveEveryField(t *testing.T) {
	command := populated[wireCommand[PutPolicy]]()
	batch := populated[wireCommand[Batch]]()
	for _, v := range []any{populated[Policy](), wireCommand[Payload]{command.Stamp, command.Payload}, wireCommand[Payload]{batch.Stamp, batch.Payload}} {
		content, ok := packed(v)
		if !ok {
			t.Fatalf("%T with every field cannot be packed", v)
		}
		if got, ok := unpacked(v, content); !ok || !reflect.DeepEqual(got, v) {
			t.Errorf("%T: %s", v, cmp.Diff(v, got))
		}
	}
}

// The numbers of closed lists are in every state: they may get more, and never others.
func TestPackedNumbersStay(t *testing.T) {
	p := policy.DefaultPolicy("TN1", policy.Region{ID: "ie1", Boundary: "eu"}, "DOM-IE")
	p.Classes = map[policy.DataClass]policy.ClassRule{policy.CallRecord: {Mode: policy.Restricted, Retention: 60}, policy.AccountConfig: {Mode: policy.Sealed, RedactProfile: "a"}}
	p.Egress = map[policy.EgressClass]policy.EgressRule{policy.CarrierSignalling: {Effect: policy.Cap, PerDay: 300, Basis: "B"}, policy.CustomerAPI: {Effect: policy.Deny}}
	c := Command{Stamp: Stamp{Now: time.Unix(1, 2).UTC(), Actor: "a"}, Payload: PutPolicy{Tenant: "TN1", IfMatch: "f", Policy: p}}
	want := "\x02\x00\x04" + "\x02\x02\x01a\x00\x00" + "\x03TN1\x01f" +
		"\x03TN1\x03ie1\x02eu\x01\x00\x06DOM-IE" + "\x03\x01\x02\x78\x00\x0c\x01\x00\x01a" + "\x01" + "\x03\x01\x03\xac\x02\x01B\x13\x01\x00\x00" +
		"\x01\x00" + "\x08required\x00\x02eu\xa0\x38\x06record" + "\x00\x78\x01\x00\x00"
	if got := got(Encode(c))(t); string(got) != want {
		t.Errorf("packed as\n%q\nand not\n%q", got, want)
	}
}
