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

// some gives objects of every kind that is written or read without reflection,
// ordinary ones and ones that must be left to encoding/json.
func some(r *rand.Rand) []any {
	text := func() string {
		if r.IntN(40) > 0 {
			return []string{"DOM-IE", "ie1", "a b", "TN00000000000000000000000000000001"}[r.IntN(4)]
		}
		return []string{"", "DOM-IE", "ie1", "a b", `"`, `\`, "<", "é", "\x00", "\xff", "TN00000000000000000000000000000001"}[r.IntN(11)]
	}
	few := func() bool { return r.IntN(8) == 0 }
	number := func() uint64 { return []uint64{0, 1, 9, 10, 1<<48 + 7, 1<<63 - 1, 1<<64 - 1}[r.IntN(7)] }
	at := time.Unix(r.Int64N(4e9), r.Int64N(1e9)).UTC()
	if few() {
		at = []time.Time{{}, at.In(time.FixedZone("elsewhere", 3600)), at.AddDate(9000, 0, 0), at.Truncate(time.Hour)}[r.IntN(4)]
	}
	p := policy.DefaultPolicy(policy.TenantID(text()), policy.Region{ID: policy.RegionID(text()), Boundary: "eu"}, text())
	p.Revision, p.HomeEpoch, p.AllowRegionChange = number(), number(), few()
	p.MaxStaleness = policy.Seconds(r.Int64N(20) - 1)
	if few() {
		p.Access.AllowedReasons = []string{text(), text()}[:r.IntN(3)]
	}
	if few() {
		p.Classes = []map[policy.DataClass]policy.ClassRule{nil, {}, {policy.CallRecord: {Mode: policy.Mode(r.IntN(5)), Retention: 7, RedactProfile: text()}}, {200: {}}}[r.IntN(4)]
	}
	if few() {
		p.Egress = []map[policy.EgressClass]policy.EgressRule{nil, {}, {policy.LocalStore: {Effect: policy.Effect(r.IntN(5)), PerDay: number(), Basis: text()}}}[r.IntN(3)]
	}
	if few() {
		p.Recipients = policy.Recipients{List: []policy.Recipient{{ID: "RC1", Purpose: text(), Threshold: 10, AssessmentExpiry: at}}}
	}
	if few() {
		p.Consent = map[policy.DataClass][]string{policy.CallRecord: {text()}}
	}
	if few() {
		p.Signatures = []policy.Signature{{KeyID: text(), Value: "ab+/=="}}
	}
	if few() {
		p.OnUnavailable, p.MinAttestation = policy.Unavailable(r.IntN(4)), policy.Attestation(r.IntN(5))
	}
	stored := Policy{ResidencyPolicy: p, ETag: text()}
	if few() {
		stored.Signers = &policy.Signers{}
	}
	stamp := Stamp{Now: at, Actor: text(), IdempotencyKey: text(), RequestHash: text()}
	create := CreateTenant{ID: p.Tenant, Slug: "a-b", Home: p.HomeRegion, BillingCountry: text()}
	if few() {
		create.Policy = &p
	}
	var items []BatchItem
	if !few() {
		items = append([]BatchItem{}, []BatchItem{{Command: []byte(text())}, {Tenant: text(), Refused: policy.NotFound}, {Command: []byte(text())}}[:r.IntN(4)]...)
	}
	token := Token{SHA256: text(), Principal: text(), Scope: Scope{Role: text(), ReadOnly: few()}, Disabled: few()}
	if few() {
		token.Tenant, token.Region, token.ExpiresAt, token.CreatedAt, token.ETag = "TN1", "ie1", &at, at, text()
	}
	return []any{token, stored,
		Tenant{ID: p.Tenant, Slug: "a-b", Home: p.HomeRegion, HomeEpoch: number(), State: policy.TenantActive, CreatedAt: at, Signed: few(), ETag: text()},
		logRecord{First: number(), Touches: []touch{{"ie1", text()}, {"*", "b"}}[:r.IntN(3)], Resync: few()},
		wireCommand[Payload]{Stamp: stamp, Payload: PutPolicy{Tenant: p.Tenant, IfMatch: text(), Policy: p}},
		wireCommand[Payload]{Stamp: stamp, Payload: create}, wireCommand[Payload]{Stamp: stamp, Payload: Batch{Items: items}}}
}

// The short way gives what encoding/json gives, or leaves it to encoding/json.
func TestPlainFormsAreThoseOfTheStandardLibrary(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	written, read := 0, 0
	const rounds = 1000
	for range rounds {
		for _, v := range some(r) {
			if _, is := v.(Policy); is {
				continue // packed_test.go
			}
			want, err := json.Marshal(v)
			got, ok := plain(v)
			if ok {
				written++
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("%T: wrote\n%s\nwant\n%s %v", v, got, want, err)
				}
			}
			if err != nil {
				continue
			}
			for _, content := range [][]byte{want, flipped(r, want)} {
				if sameRead(t, v, content) {
					read++
				}
			}
		}
	}
	if written < 3*rounds/2 || read < 2*rounds {
		t.Errorf("of %d rounds of objects only %d were written and %d read the short way", rounds, written, read)
	}
}

// Whoever adds a field must write it by hand too: each object with every field
// set, at any depth, is written as encoding/json writes it, and read.
func TestPlainFormsHaveEveryField(t *testing.T) {
	for _, v := range []any{new(Tenant), new(Token), new(logRecord), &wireCommand[CreateTenant]{}} {
		populate(reflect.ValueOf(v).Elem())
		object := reflect.ValueOf(v).Elem().Interface()
		if w, ok := v.(*wireCommand[CreateTenant]); ok {
			object = wireCommand[Payload]{w.Stamp, w.Payload}
		}
		want, err := json.Marshal(object)
		check(t, err)
		if got := got(encode(object))(t); !bytes.Equal(got, want) {
			t.Errorf("%T: wrote\n%s\nwant\n%s", v, got, want)
		}
		sameRead(t, object, want)
	}
	if !sameRead(t, Token{}, got(json.Marshal(populated[Token]()))(t)) || !sameRead(t, Tenant{}, got(json.Marshal(populated[Tenant]()))(t)) {
		t.Error("a row with every field is not read the short way")
	}
}

func populated[T any]() (v T) {
	populate(reflect.ValueOf(&v).Elem())
	return v
}

// populate sets every field, to the first value of each closed list.
func populate(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		populate(v.Elem())
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)))
			return
		}
		for i := range v.NumField() {
			populate(v.Field(i))
		}
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[json.RawMessage]() {
			v.SetBytes([]byte(`{"a":1}`))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		populate(v.Index(0))
	case reflect.Map:
		key, element := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		populate(key)
		populate(element)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, element)
	case reflect.String:
		v.SetString("a1")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(1)
	}
}

// flipped changes one byte, or takes one out, or puts one in.
func flipped(r *rand.Rand, b []byte) []byte {
	b = bytes.Clone(b)
	at := r.IntN(len(b))
	c := `"{}[],:\0a19.-e tnE`[r.IntN(19)]
	switch r.IntN(3) {
	case 0:
		b[at] = c
	case 1:
		b = append(b[:at], b[at+1:]...)
	default:
		b = append(b[:at], append([]byte{c}, b[at:]...)...)
	}
	return b
}

// sameRead reads content as an object of v's kind both ways. The short way may
// give up where the strict reading of encoding/json does not, and never the
// other way round.
func sameRead(t *testing.T, v any, content []byte) bool {
	t.Helper()
	var short, long any
	switch v := v.(type) {
	case Tenant:
		short, long = new(Tenant), new(Tenant)
	case Token:
		short, long = new(Token), new(Token)
	case wireCommand[Payload]:
		if _, ok := v.Payload.(CreateTenant); !ok {
			return false
		}
		short, long = new(wireCommand[*CreateTenant]), new(wireCommand[*CreateTenant])
	default:
		return false
	}
	if !unplain(content, short) {
		return false
	}
	if err := strictJSON(content, long); err != nil {
		t.Fatalf("%T: the short way read what the strict one refuses: %v\n%s", v, err, content)
	}
	if d := cmp.Diff(long, short); d != "" || !reflect.DeepEqual(long, short) {
		t.Fatalf("%T of\n%s\n%s", v, content, d)
	}
	return true
}
