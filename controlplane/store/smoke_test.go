package store

import "testing"

func TestSmoke(t *testing.T) {
	f := seeded(t)
	tn := f.tenant(1, "ie1")
	f.must(CreateKey{Key: apiKey(1, tn.ID, "ie1", "ingest")})
	t.Logf("%+v", got(f.Policy(tn.ID))(t))
	f.tenant(2, "us1")
}
