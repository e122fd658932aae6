package record_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/policy"
)

const (
	tenant    = policy.TenantID("TN00000000000000000000000000000001")
	recipient = policy.RecipientID("RP00000000000000000000000000000001")
	number    = "+353861234567"
	person    = "Aoife Ní Bhriain"
)

var (
	callID = "CA" + strings.Repeat("ab", 16)
	alice  = "SU" + strings.Repeat("01", 16)
	bob    = "SU" + strings.Repeat("02", 16)
	scope  = record.Scope{Tenant: tenant, Recipient: recipient, Purpose: "analytics", Period: "2026-11"}
)

// permitFor decides as a region would.
func permitFor(t *testing.T, op policy.Operation, class policy.DataClass) policy.Permit {
	t.Helper()
	regions := []policy.Region{
		{ID: "ie1", Boundary: "eu", Country: "IE", BackupRegion: "none", Lifecycle: policy.Active},
		{ID: "us1", Boundary: "us", Country: "US", BackupRegion: "none", Lifecycle: policy.Active},
	}
	top, err := policy.NewTopology(regions)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	p := policy.DefaultPolicy(tenant, regions[0], "DOM-IE")
	p.Egress[policy.PseudonymisedExport] = policy.EgressRule{Effect: policy.Allow, Basis: "PSEUDONYMISED-UC2"}
	p.Recipients = policy.Recipients{List: []policy.Recipient{{ID: recipient, Region: "us1", Purpose: "analytics",
		Threshold: 10, Colluding: 3, AssessmentExpiry: now.AddDate(1, 0, 0)}}}
	set := (&policy.Set{}).With(1, []*policy.Rules{policy.Compile(&p, policy.TenantActive)}, nil)
	d := policy.Decide(set, top.WithBases([]policy.TransferBasis{{ID: "PSEUDONYMISED-UC2", State: policy.BasisActive}}), policy.Request{Tenant: tenant, Op: op, Class: class, Region: "ie1",
		Egress: policy.PseudonymisedExport, Recipient: recipient, Purpose: "analytics", Now: now, Attestation: policy.Declared})
	if d.Effect != policy.Allow {
		t.Fatalf("no permit: %v", d.Reasons())
	}
	return d.Permit()
}

func keyFor(t testing.TB, secret byte, s record.Scope) *record.PseudonymKey {
	t.Helper()
	k, err := record.NewPseudonymKey([32]byte{secret}, s)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sample() record.Record {
	at := time.Date(2026, 3, 14, 9, 26, 53, 120391000, time.UTC)
	return record.Record{
		Key:        record.Key{Source: record.FreeSWITCH, Instance: "sbc1", NativeID: number},
		From:       record.Party{Raw: number, E164: number, Country: "IE", Subject: alice},
		To:         record.Party{Raw: "+12025550101", E164: "+12025550101", Country: "US", Subject: bob},
		CallerName: person, Direction: record.Inbound, Status: record.Completed,
		Start: at, Answer: at.Add(8 * time.Second), End: at.Add(4 * time.Minute), Billsec: 232 * time.Second,
		Native: []byte(number), ContentHash: sha256.Sum256([]byte(number)),
	}
}

func rowOf(t testing.TB, p record.Pseudonymised) (row data.PseudonymRow, text string) {
	t.Helper()
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &row); err != nil {
		t.Fatal(err)
	}
	return row, string(b)
}

func TestPseudonymise(t *testing.T) {
	r := sample()
	p, err := record.Pseudonymise(callID, &r, keyFor(t, 1, scope), permitFor(t, policy.Export, policy.CallRecord))
	if err != nil {
		t.Fatal(err)
	}
	row, _ := rowOf(t, p)
	if row.Row != p.Row() || len(row.Row) != 32 || len(row.From) != 32 || len(row.To) != 32 {
		t.Errorf("pseudonyms of %d, %d and %d digits, want 32", len(row.Row), len(row.From), len(row.To))
	}
	row.Row, row.From, row.To = "", "", ""
	want := data.PseudonymRow{FromCC: "IE", ToCC: "US", Direction: "inbound", Outcome: "answered",
		Hour: "2026-03-14T09:00:00Z", Duration: "1-5m", Source: "freeswitch"}
	if row != want {
		t.Errorf("row %+v, want %+v", row, want)
	}
	if got := p.Class(); got != "IE|US|inbound|answered|2026-03-14T09:00:00Z|1-5m|freeswitch" {
		t.Errorf("class %q", got)
	}
}

// What is not known, or not of a closed set, crosses as nothing.
func TestPseudonymiseOfAnEmptyRecord(t *testing.T) {
	r := record.Record{Direction: number, Key: record.Key{Source: number}, From: record.Party{Country: number}, To: record.Party{Country: "ie"}}
	p, err := record.Pseudonymise(callID, &r, keyFor(t, 1, scope), permitFor(t, policy.Export, policy.CallRecord))
	if err != nil {
		t.Fatal(err)
	}
	row, _ := rowOf(t, p)
	if want := (data.PseudonymRow{Row: p.Row(), Outcome: "not_answered", Duration: "0"}); row != want {
		t.Errorf("row %+v, want %+v", row, want)
	}
}

func TestPseudonymiseRefuses(t *testing.T) {
	export := permitFor(t, policy.Export, policy.CallRecord)
	key := keyFor(t, 1, scope)
	other := func(change func(*record.Scope)) *record.PseudonymKey {
		s := scope
		change(&s)
		return keyFor(t, 1, s)
	}
	for name, c := range map[string]struct {
		call   string
		key    *record.PseudonymKey
		permit policy.Permit
	}{
		"no permit":                {callID, key, policy.Permit{}},
		"a permit to view":         {callID, key, permitFor(t, policy.View, policy.CallRecord)},
		"a permit to process":      {callID, key, permitFor(t, policy.Process, policy.CallRecord)},
		"a permit for other data":  {callID, key, permitFor(t, policy.Export, policy.BillingUsage)},
		"no key":                   {callID, nil, export},
		"another tenant's key":     {callID, other(func(s *record.Scope) { s.Tenant = "TN2" }), export},
		"another recipient's key":  {callID, other(func(s *record.Scope) { s.Recipient = "RP2" }), export},
		"another purpose's key":    {callID, other(func(s *record.Scope) { s.Purpose = "billing" }), export},
		"no call id":               {"", key, export},
		"a number for the call id": {number, key, export},
	} {
		r := sample()
		p, err := record.Pseudonymise(c.call, &r, c.key, c.permit)
		if err == nil || !p.Empty() {
			t.Errorf("%s: not refused", name)
			continue
		}
		if c.call == callID && !errors.Is(err, &policy.Error{Reason: policy.EgressDenied}) {
			t.Errorf("%s: %v, want EGRESS_DENIED", name, err)
		}
		if strings.Contains(err.Error(), number) {
			t.Errorf("%s: the refusal repeats what it was given", name)
		}
	}
}

// A field without a class blocks every export, whatever the permit.
func TestUnclassedFieldBlocksExports(t *testing.T) {
	key, export := keyFor(t, 1, scope), permitFor(t, policy.Export, policy.CallRecord)
	if err := record.MayCross(nil, key, export); err != nil {
		t.Fatal(err)
	}
	if err := record.MayCross([]string{"Voice"}, key, export); !errors.Is(err, &policy.Error{Reason: policy.EgressDenied}) {
		t.Errorf("%v, want EGRESS_DENIED", err)
	}
}

// Nobody outside the package can make a row, or change one.
func TestPseudonymisedCannotBeMade(t *testing.T) {
	var p record.Pseudonymised
	if !p.Empty() {
		t.Error("the zero row is not empty")
	}
	if b, err := json.Marshal(p); err == nil {
		t.Errorf("the zero row became %d bytes of JSON", len(b))
	}
	//lint:ignore SA9005 that nothing can be read into it is what is tested
	if err := json.Unmarshal([]byte(`{"row":"x"}`), &p); err != nil || !p.Empty() {
		t.Errorf("a row was read from JSON: %v", err)
	}
	for f := range reflect.TypeFor[record.Pseudonymised]().Fields() {
		if f.IsExported() {
			t.Errorf("field %s can be set by anybody", f.Name)
		}
	}
}

// TestINV13_NoCanaryCrosses fills every text of a record with a number or name,
// plain or transformed, and looks for it in what crosses (also INV02, INV17).
func TestINV13_NoCanaryCrosses(t *testing.T) {
	permit := permitFor(t, policy.Export, policy.CallRecord)
	rapid.Check(t, func(rt *rapid.T) {
		digits := rapid.StringMatching(`[1-9][0-9]{9,14}`).Draw(rt, "digits")
		sum := sha256.Sum256([]byte(digits))
		canaries := []string{digits, "+" + digits, person, digits[len(digits)-6:] + "Q", hex.EncodeToString(sum[:]), hex.EncodeToString(sum[:8])}
		var r record.Record
		poison(rt, reflect.ValueOf(&r).Elem(), canaries)
		r.Start = time.UnixMicro(rapid.Int64Range(1, 4e15).Draw(rt, "start"))
		k, err := record.NewPseudonymKey(sha256.Sum256([]byte(rapid.String().Draw(rt, "secret"))), scope)
		if err != nil {
			rt.Fatal(err)
		}
		p, err := record.Pseudonymise(callID, &r, k, permit)
		if err != nil {
			rt.Fatal(err)
		}
		b, err := json.Marshal(p)
		if err != nil {
			rt.Fatal(err)
		}
		for _, c := range canaries {
			if strings.Contains(string(b), c) {
				rt.Fatal("a canary crossed")
			}
		}
		exact := r.Start.UTC().Truncate(time.Second)
		if !exact.Equal(exact.Truncate(time.Hour)) && strings.Contains(string(b), exact.Format("15:04:05")) {
			rt.Fatal("an exact time crossed")
		}
	})
}

// poison puts canaries into every field that can hold one.
func poison(rt *rapid.T, v reflect.Value, canaries []string) {
	for i := range v.NumField() {
		f := v.Field(i)
		c := rapid.SampledFrom(canaries).Draw(rt, "canary")
		switch {
		case f.Kind() == reflect.String:
			f.SetString(c)
		case f.Kind() == reflect.Int, f.Kind() == reflect.Int64:
			f.SetInt(rapid.Int64Range(0, 1<<40).Draw(rt, "int"))
		case f.Type() == reflect.TypeFor[[]string]():
			f.Set(reflect.ValueOf([]string{c}))
		case f.Type() == reflect.TypeFor[[]byte]():
			f.SetBytes([]byte(c))
		case f.Type() == reflect.TypeFor[[32]byte]():
			f.Set(reflect.ValueOf(sha256.Sum256([]byte(c))))
		case f.Kind() == reflect.Struct && f.Type() != reflect.TypeFor[time.Time]():
			poison(rt, f, canaries)
		}
	}
}

// TestINV14_ScopesAreUnlinkable: the same subject and call have unrelated
// pseudonyms as soon as one part of the scope or the secret differs, and the
// same ones when nothing does.
func TestINV14_ScopesAreUnlinkable(t *testing.T) {
	permit := permitFor(t, policy.Export, policy.CallRecord)
	r := sample()
	r.To.Subject = alice // one subject in both places has one pseudonym
	token := func(k *record.PseudonymKey) (subject, call string) {
		p, err := record.Pseudonymise(callID, &r, k, permit)
		if err != nil {
			t.Fatal(err)
		}
		row, _ := rowOf(t, p)
		if row.From != row.To {
			t.Error("one subject has two pseudonyms in one scope")
		}
		return row.From, row.Row
	}
	periods := scope
	periods.Period = "2026-12"
	seen := map[string]string{}
	for name, k := range map[string]*record.PseudonymKey{
		"base": keyFor(t, 1, scope), "secret": keyFor(t, 2, scope), "period": keyFor(t, 1, periods),
	} {
		subject, call := token(k)
		for _, tok := range []string{subject, call} {
			if with, ok := seen[tok]; ok {
				t.Errorf("%s and %s share a pseudonym", name, with)
			}
			seen[tok] = name
		}
	}
	again, _ := token(keyFor(t, 1, scope))
	if seen[again] != "base" {
		t.Error("the same scope and secret give another pseudonym")
	}
}

// The scope's parts cannot run into each other.
func TestINV14_ScopePartsAreDelimited(t *testing.T) {
	permit := permitFor(t, policy.Export, policy.CallRecord)
	r := sample()
	a, b := scope, scope
	a.Period, b.Period = "1", "11"
	got := map[string]bool{}
	for _, s := range []record.Scope{a, b} {
		p, err := record.Pseudonymise(callID, &r, keyFor(t, 1, s), permit)
		if err != nil {
			t.Fatal(err)
		}
		got[p.Row()] = true
	}
	if len(got) != 2 {
		t.Error("two scopes share pseudonyms")
	}
}

func TestNewPseudonymKeyWantsAWholeScope(t *testing.T) {
	if _, err := record.NewPseudonymKey([32]byte{}, scope); err == nil {
		t.Error("a secret of zeros was taken")
	}
	for i := range reflect.TypeFor[record.Scope]().NumField() {
		s := scope
		reflect.ValueOf(&s).Elem().Field(i).SetZero()
		if _, err := record.NewPseudonymKey([32]byte{1}, s); err == nil {
			t.Errorf("a scope without %s was taken", reflect.TypeFor[record.Scope]().Field(i).Name)
		}
	}
}

func TestBucket(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0", 0: "0", 1: "0-1m", time.Minute - 1: "0-1m", time.Minute: "1-5m", 5 * time.Minute: "5-15m",
		15 * time.Minute: "15-60m", time.Hour - 1: "15-60m", time.Hour: "60m+", 1 << 62: "60m+",
	} {
		if got := record.Bucket(d); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
	if got := fmt.Sprint(record.Buckets()); got != "[0 0-1m 1-5m 5-15m 15-60m 60m+]" {
		t.Errorf("buckets %s", got)
	}
}

func TestAnswered(t *testing.T) {
	for name, c := range map[string]struct {
		r    record.Record
		want bool
	}{
		"nothing known": {record.Record{}, false},
		"busy":          {record.Record{Status: record.Busy, Duration: time.Second}, false},
		"an answer":     {record.Record{Answer: time.Unix(1, 0)}, true},
		"billed":        {record.Record{Billsec: 1}, true},
		"completed":     {record.Record{Status: record.Completed}, true},
	} {
		if got := c.r.Answered(); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func BenchmarkPseudonymise(b *testing.B) {
	r := sample()
	t := &testing.T{}
	k, permit := keyFor(b, 1, scope), permitFor(t, policy.Export, policy.CallRecord)
	for b.Loop() {
		if _, err := record.Pseudonymise(callID, &r, k, permit); err != nil {
			b.Fatal(err)
		}
	}
}

// A tombstone names exactly the row that was exported, in its own scope only.
func TestTombstoneNamesTheRow(t *testing.T) {
	const call = "CA000102030405060708090a0b0c0d0e0f"
	of := func(period string) string {
		k, err := record.NewPseudonymKey([32]byte{1}, record.Scope{Tenant: "TN1", Recipient: "RP1", Purpose: "analytics", Period: period})
		if err != nil {
			t.Fatal(err)
		}
		stone, err := k.Tombstone(call)
		if err != nil || len(stone) != 32 {
			t.Fatalf("%q, %v", stone, err)
		}
		if _, err := k.Tombstone("SU000102030405060708090a0b0c0d0e0f"); err == nil {
			t.Fatal("a tombstone of what is no call")
		}
		return stone
	}
	if first, again := of("2026-11"), of("2026-11"); first != again || first == of("2026-12") {
		t.Fatal("a tombstone does not follow its scope")
	}
}
