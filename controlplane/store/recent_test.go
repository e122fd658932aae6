package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/domicile-io/domicile/policy"
)

// Two voters apply the same changes, and one of them has just started each time, so
// that it remembers nothing: results and states are the same.
func TestWhatIsRememberedDecidesNothingElse(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		remembers, forgets := seeded(t), seeded(t)
		apply := func(p Payload) {
			a := remembers.apply(p)
			forgets.current.Load().recent = newRecent()
			b := forgets.apply(p)
			if (a.Err == nil) != (b.Err == nil) || a.Err != nil && a.Err.Reason != b.Err.Reason || a.Revision != b.Revision || string(a.Body) != string(b.Body) {
				rt.Fatalf("%T: %+v and %+v", p, a, b)
			}
		}
		// What is remembered is shown as the rows would be.
		look := func(id policy.TenantID) {
			forgets.current.Load().recent = newRecent()
			a, b := got(remembers.Tenant(id))(t), got(forgets.Tenant(id))(t)
			p, q := got(remembers.Policy(id))(t), got(forgets.Policy(id))(t)
			if !reflect.DeepEqual(a, b) || !reflect.DeepEqual(p, q) {
				rt.Fatal(cmp.Diff(a, b), cmp.Diff(p, q))
			}
		}
		for n := range 3 {
			apply(createTenant(n, "ie1"))
		}
		for range rapid.IntRange(1, 30).Draw(rt, "changes") {
			id := id[policy.TenantID](policy.KindTenant, rapid.IntRange(0, 2).Draw(rt, "tenant"))
			tenant := got(remembers.Tenant(id))(t)
			now, err := remembers.Policy(id)
			if err != nil && !isReason(err, policy.NotFound) {
				t.Fatal(err)
			}
			put := PutPolicy{Tenant: id, IfMatch: now.ETag, Policy: kept(now, policy.Seconds(rapid.IntRange(1, 1000).Draw(rt, "seconds")))}
			switch rapid.IntRange(0, 9).Draw(rt, "what") {
			case 0:
				apply(UpdateTenant{ID: id, IfMatch: tenant.ETag, BillingCountry: rapid.SampledFrom([]string{"IE", "US", "AU"}).Draw(rt, "country")})
			case 1:
				apply(SetTenantState{ID: id, State: rapid.SampledFrom([]policy.TenantState{policy.TenantSuspended, policy.TenantActive}).Draw(rt, "state")})
			case 2:
				put.Policy.Recipients, put.Policy.Egress = policy.Recipients{DenyAll: true, List: []policy.Recipient{}}, map[policy.EgressClass]policy.EgressRule{}
				apply(put)
			case 3:
				put.IfMatch = "1"
				apply(put)
			case 4:
				apply(batchOf(t, remembers.stamp(), put, createTenant(0, "ie1")))
			default:
				apply(put)
			}
			look(id)
		}
		if contents(t, remembers.Store) != contents(t, forgets.Store) {
			rt.Fatal("the states differ")
		}
	})
}

// Texts of a policy are parts of its command: what is remembered keeps the whole of
// it, so that only small ones are. A command may be as large as its sender likes,
// because JSON in it may have any number of blanks.
func TestLargeCommandsAreNotRemembered(t *testing.T) {
	f := seeded(t)
	create := createTenant(1, "ie1")
	create.Policy = exporting(f, "ie1", recipient(1, "us1"))
	tenant := body[Tenant](t, f.must(create))
	put := func(blanks int, seconds policy.Seconds) Policy {
		now := got(f.Policy(tenant.ID))(t)
		next := now.ResidencyPolicy
		next.MaxStaleness = seconds
		data := got(Encode(Command{Stamp: f.stamp(), Payload: PutPolicy{Tenant: tenant.ID, IfMatch: now.ETag, Policy: next}}))(t)
		f.index++
		rs := got(f.Apply([]Entry{{Index: f.index, Term: 1, Data: blanked(t, data, next.Recipients.List, blanks)}}))(t)
		if rs[0].Err != nil {
			t.Fatal(rs[0].Err)
		}
		return body[Policy](t, rs[0])
	}
	for i, c := range []struct {
		blanks int
		kept   bool
	}{{0, true}, {100_000, false}, {0, true}} {
		want := put(c.blanks, policy.Seconds(50-i))
		if _, kept := f.recently(tenant.ID); kept != c.kept {
			t.Errorf("with %d blanks it is remembered: %v", c.blanks, kept)
		}
		if p := got(f.Policy(tenant.ID))(t); !reflect.DeepEqual(p, want) {
			t.Error(cmp.Diff(want, p))
		}
	}
}

// blanked puts blanks into the JSON of a packed command's recipients.
func blanked(t *testing.T, data []byte, list []policy.Recipient, blanks int) []byte {
	text := got(json.Marshal(list))(t)
	head := binary.AppendUvarint(nil, uint64(len(text)))
	before, after, ok := bytes.Cut(data, append(head, text...))
	if !ok {
		t.Fatal("the command has no recipients as JSON")
	}
	text = append(append([]byte{'['}, bytes.Repeat([]byte{' '}, blanks)...), text[1:]...)
	return slices.Concat(before, binary.AppendUvarint(nil, uint64(len(text))), text, after)
}
