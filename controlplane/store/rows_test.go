package store

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/domicile-io/domicile/policy"
)

// rows collects a region's bundle as key → JSON, and checks the order.
func rows(t testing.TB, s *Store, region policy.RegionID) (map[string]string, uint64) {
	t.Helper()
	out := map[string]string{}
	var keys []string
	at, err := s.Rows(region, func(r policy.Row) error {
		keys = append(keys, r.RowKey())
		out[r.RowKey()] = rowJSON(t, r)
		return nil
	})
	check(t, err)
	if !slices.IsSorted(keys) || len(keys) != len(out) {
		t.Errorf("rows out of order or twice: %q", keys)
	}
	return out, at
}

func rowJSON(t testing.TB, r policy.Row) string {
	t.Helper()
	b, err := json.Marshal(r)
	check(t, err)
	return string(b)
}

func TestRowsHoldWhatTheRegionNeedsAndNoMore(t *testing.T) {
	f := seeded(t)
	ie := f.tenant(1, "ie1")
	p := createTenant(2, "us1")
	p.Policy = exporting(f, "us1", recipient(1, "ie1"), recipient(2, "au1"))
	us := body[Tenant](t, f.must(p))
	f.must(CreateKey{Key: apiKey(1, ie.ID, "ie1", policy.RoleIngest)})
	rk := apiKey(2, us.ID, "ie1", policy.RoleRecipient)
	rk.Recipient = recipient(1, "ie1").ID
	f.must(CreateKey{Key: rk})

	got, at := rows(t, f.Store, "ie1")
	if at != f.Revision() || len(got) != 4+1+1+2+1 {
		t.Fatalf("%d rows at %d: %v", len(got), at, got)
	}
	var row policy.Row
	check(t, json.Unmarshal([]byte(got[tenantRow(ie.ID)]), &row))
	if row.Tenant.Policy == nil || len(row.Tenant.Keys) != 1 || row.Tenant.HomeURL != "https://api.ie1.example" {
		t.Errorf("tenant row %+v", row.Tenant)
	}
	row = policy.Row{}
	check(t, json.Unmarshal([]byte(got[pairRow(us.ID, recipient(1, "ie1").ID)]), &row))
	if row.Pair.From != "us1" || row.Pair.Basis != "SCC" || len(row.Pair.Keys) != 1 || row.Pair.Keys[0].ID != rk.ID || row.Pair.AllowListHash != policy.ExportSchemaHash("standard") {
		t.Errorf("pair row %+v", row.Pair)
	}
	abroad, _ := rows(t, f.Store, "us1")
	if _, leaked := abroad[tenantRow(ie.ID)]; leaked || len(abroad) != 4+1+2 {
		t.Errorf("us1 has %v", abroad)
	}
	if err := json.Unmarshal([]byte(abroad[tenantRow(us.ID)]), &row); err != nil || len(row.Tenant.Keys) != 0 {
		t.Errorf("the recipient's key reached the sender: %+v %v", row.Tenant, err)
	}
}

// Whatever happens, the old rows plus the delta are the new rows.
func TestRowsChangedLeadsToTheRows(t *testing.T) {
	log := history(t)
	for _, region := range []policy.RegionID{"ie1", "au1", "us1"} {
		f := empty(t)
		have, at := map[string]string{}, uint64(0)
		for _, e := range log {
			if _, err := f.Apply([]Entry{e}); err != nil {
				t.Fatal(err)
			}
			d, err := f.RowsChanged(region, at)
			check(t, err)
			for _, r := range d.Rows {
				have[r.RowKey()] = rowJSON(t, r)
			}
			for _, k := range d.Removed {
				delete(have, k)
			}
			at = d.To
			want, revision := rows(t, f.Store, region)
			if at != revision || len(have) != len(want) {
				t.Fatalf("%s at %d: %d rows, want %d at %d", region, at, len(have), len(want), revision)
			}
			for k, v := range want {
				if have[k] != v {
					t.Errorf("%s at %d: %s is %s, want %s", region, at, k, have[k], v)
				}
			}
		}
	}
}

func TestRemovedRecipientLeavesItsRegion(t *testing.T) {
	f := seeded(t)
	p := createTenant(1, "us1")
	p.Policy = exporting(f, "us1", recipient(1, "ie1"))
	us := body[Tenant](t, f.must(p))
	from := f.Revision()
	old := got(f.Policy(us.ID))(t)
	next := old.ResidencyPolicy
	next.Recipients = policy.Recipients{DenyAll: true}
	f.must(PutPolicy{Tenant: us.ID, IfMatch: old.ETag, Policy: next})
	d, err := f.RowsChanged("ie1", from)
	check(t, err)
	if want := []string{pairRow(us.ID, recipient(1, "ie1").ID)}; !slices.Equal(d.Removed, want) || len(d.Rows) != 0 {
		t.Errorf("delta %+v, want %q removed", d, want)
	}
}

func TestDeltaDoesNotReachAcrossWhatItCannotList(t *testing.T) {
	f := seeded(t)
	f.tenant(1, "ie1")
	from := f.Revision()
	r := got(f.Region("ie1"))(t)
	r.BaseURL = "https://other.ie1.example"
	f.must(PutRegion{Region: r.Region, IfMatch: r.ETag})
	for name, at := range map[string]uint64{"a new base URL": from, "the future": f.Revision() + 1} {
		if _, err := f.RowsChanged("ie1", at); !isReason(err, policy.SnapshotGone) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if d, err := f.RowsChanged("ie1", f.Revision()); err != nil || len(d.Rows)+len(d.Removed) != 0 {
		t.Errorf("from now: %+v, %v", d, err)
	}
}

func TestChangeLogIsCompacted(t *testing.T) {
	f := seeded(t)
	tn := f.tenant(1, "ie1")
	var batch []Entry
	for n := range LogRevisions {
		k := apiKey(1, tn.ID, "ie1", policy.RoleReader)
		var p Payload = CreateKey{Key: k}
		if n%2 == 1 {
			p = DeleteKey{Tenant: tn.ID, ID: k.ID, IfMatch: etagOf(f.Revision() + uint64(n))}
		}
		data, err := Encode(Command{Stamp: f.stamp(), Payload: p})
		check(t, err)
		f.index++
		batch = append(batch, Entry{Index: f.index, Term: 1, Data: data})
	}
	_, err := f.Apply(batch)
	check(t, err)
	if f.Revision() != LogRevisions+2 {
		t.Fatalf("revision %d", f.Revision())
	}
	if _, err := f.RowsChanged("ie1", 1); !isReason(err, policy.SnapshotGone) {
		t.Errorf("from 1: %v", err)
	}
	if _, err := f.RowsChanged("ie1", 2); err != nil {
		t.Errorf("from 2: %v", err)
	}
}
