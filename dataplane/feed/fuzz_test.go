package feed

import (
	"bytes"
	"crypto/ed25519"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/domicile-io/domicile/api/bundle"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// FuzzCache feeds the cache's reader whole files. Nothing that was not sealed
// under the key may come out, whatever is around it.
func FuzzCache(f *testing.F) {
	c, err := newCache(f.TempDir(), [32]byte{1}, "fuzz")
	if err != nil {
		f.Fatal(err)
	}
	if err := c.begin(); err != nil {
		f.Fatal(err)
	}
	sealed := []*controlv1.Push{{Revision: 1, Change: &controlv1.Push_Part{Part: &controlv1.SnapshotPart{Last: true}}}, {Revision: 2}, {Revision: 3}}
	for _, p := range sealed {
		if err := c.add(p); err != nil {
			f.Fatal(err)
		}
	}
	good := make([]byte, c.draft.size)
	if _, err := c.draft.f.ReadAt(good, 0); err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-3])
	f.Add(append(bytes.Clone(good), 0, 0, 0, 9))
	f.Add(append(bytes.Clone(good), 0xff, 0xff, 0xff, 0xff))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := newCache("", [32]byte{1}, "fuzz") // reading needs no folder
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		_ = r.read(bytes.NewReader(raw), func(p *controlv1.Push) error {
			if n >= len(sealed) || !proto.Equal(p, sealed[n]) {
				t.Fatalf("push %d came out of a file that never held it: %v", n, p)
			}
			n++
			return nil
		})
		_, _ = r.openContact(raw)
	})
}

// FuzzPush gives a replica pushes that nobody sealed: it may crash on none and
// take none.
func FuzzPush(f *testing.F) {
	pub, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		f.Fatal(err)
	}
	_, row, err := bundle.Encode(policy.Row{Region: &policy.Region{ID: "ie1", Boundary: "eu", Country: "IE", BackupRegion: "none", Lifecycle: policy.Active}})
	if err != nil {
		f.Fatal(err)
	}
	for _, p := range []*controlv1.Push{
		{Revision: 1, Change: &controlv1.Push_Part{Part: &controlv1.SnapshotPart{Last: true, Rows: [][]byte{row}}}},
		{Revision: 2, Change: &controlv1.Push_Delta{Delta: &controlv1.Delta{FromRevision: 1, Removed: []string{"r/ie1"}}}},
		{Revision: 3, Seal: &controlv1.Seal{Format: bundle.Format, Cluster: cluster, Region: "ie1", StateHash: make([]byte, 32), Key: pub}},
	} {
		raw, err := proto.Marshal(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var p controlv1.Push
		if proto.Unmarshal(raw, &p) != nil {
			return
		}
		v, err := NewView(1, nil)
		if err != nil {
			t.Fatal(err)
		}
		r := replica{expect: bundle.Expect{Cluster: cluster, Region: "ie1", Root: pub}, good: &state{view: v, rows: &bundle.State{}}}
		if s, refused := r.take(&p); refused == nil && (s.next != nil || s.sealed) {
			t.Fatalf("an unsealed push was taken: %v", &p)
		}
	})
}

// FuzzRows builds views from rows of any content: With refuses or gives a view
// in which each row is found under its key.
func FuzzRows(f *testing.F) {
	for _, r := range []policy.Row{tenantRow(1, "ie1"), tenantRow(2, "us1")} {
		_, body, err := bundle.Encode(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body, body)
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		e := newEdit(&View{}, newKinds())
		var state bundle.State
		if refused := e.putAll([][]byte{a, b}, &state); refused != nil {
			return
		}
		v, err := e.finish(1)
		if err != nil {
			return
		}
		var rows []policy.Row
		for _, body := range [][]byte{a, b} {
			r, err := bundle.Decode(body)
			if err != nil {
				t.Fatalf("taken, though it does not decode: %v", err)
			}
			rows = append(rows, r)
			if r.Tenant == nil {
				if got, ok := v.rows.get(r.RowKey()); !ok || got.RowKey() != r.RowKey() {
					t.Fatalf("row %q is not found", r.RowKey())
				}
			} else if got, ok := v.Tenant(r.Tenant.ID); !ok || got.Slug != r.Tenant.Slug || got.Home != r.Tenant.Home {
				t.Fatalf("tenant %q is not found", r.RowKey())
			}
		}
		if whole, err := NewView(1, rows); err != nil || whole.tenants.Len() != v.tenants.Len() || whole.Set.Len() != v.Set.Len() {
			t.Fatalf("taken apart and whole differ: %v", err)
		}
		if _, err := v.With(2, nil, []string{rows[0].RowKey()}); err != nil {
			t.Fatalf("removing a row: %v", err)
		}
	})
}
