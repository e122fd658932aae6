package media

import (
	"testing"

	"github.com/domicile-io/domicile/dataplane/store"
)

// TestINV07_FrameOpensInItsPlaceOnly: another region, tenant, kind, recording,
// key id, part, number, or the other answer to whether it is the last.
func TestINV07_FrameOpensInItsPlaceOnly(t *testing.T) {
	key := [32]byte{1}
	here := box{region: "ie1", tenant: "TNa", kind: store.RecordingItem, id: "RE1", key: store.KeyID{Generation: 1, Index: 2}}
	sealer := func(b box, k [32]byte, name string) *partSealer {
		p, err := b.part(k, name)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	sealed := sealer(here, key, "p").seal(nil, []byte("sound"), 3, true)
	if plain, err := sealer(here, key, "p").open(nil, sealed, 3, true); err != nil || string(plain) != "sound" {
		t.Fatalf("in its place: %q, %v", plain, err)
	}
	region, tenant, kind, id, keyID := here, here, here, here, here
	region.region, tenant.tenant, kind.kind, id.id, keyID.key.Index = "ie2", "TNb", store.TranscriptItem, "RE2", 3
	for what, c := range map[string]struct {
		p      *partSealer
		number uint64
		last   bool
	}{
		"region": {sealer(region, key, "p"), 3, true}, "tenant": {sealer(tenant, key, "p"), 3, true}, "kind": {sealer(kind, key, "p"), 3, true},
		"recording": {sealer(id, key, "p"), 3, true}, "key id": {sealer(keyID, key, "p"), 3, true}, "part": {sealer(here, key, "q"), 3, true},
		"key": {sealer(here, [32]byte{2}, "p"), 3, true}, "number": {sealer(here, key, "p"), 4, true}, "last": {sealer(here, key, "p"), 3, false},
	} {
		if _, err := c.p.open(nil, sealed, c.number, c.last); err == nil {
			t.Errorf("opens with another %s", what)
		}
	}
}
