package bundle

import (
	"encoding/json"
	"testing"

	"github.com/domicile-io/domicile/policy"
)

// FuzzDecode: what is read as a row is one JSON value and nothing behind it, has a
// key, and is read again from what is written of it.
func FuzzDecode(f *testing.F) {
	_, body, err := Encode(policy.Row{Region: &policy.Region{ID: "ie1", Boundary: "eu", Country: "IE", BackupRegion: "none", Lifecycle: policy.Active}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add(append(body[:len(body):len(body)], '}'))
	f.Add(append(body[:len(body):len(body)], body...))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := Decode(body)
		if err != nil {
			return
		}
		if !json.Valid(body) {
			t.Fatalf("%q is not one JSON value", body)
		}
		key, again, err := Encode(r)
		if err != nil {
			return // longer than it came, or of no key: nobody shipped it
		}
		if back, err := Decode(again); err != nil || back.RowKey() != key {
			t.Fatalf("%q was written again as %q, which is read with %v", body, again, err)
		}
	})
}
