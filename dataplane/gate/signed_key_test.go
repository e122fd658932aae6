package gate

import (
	"errors"
	"testing"

	"github.com/domicile-io/domicile/policy"
)

// A recipient's key that its sender has not signed is refused like one that nobody
// knows, and ends what it has begun.
func TestINV11_UnsignedRecipientsKeysLookLikeUnknownOnes(t *testing.T) {
	var unsigned error
	g, _ := testGate(t, func(o *Options) {
		o.Recipients = func(p *policy.InboundPair, id policy.KeyID) error {
			if p.Recipient == "" || id != "SK00000000000000000000000000000006" {
				t.Errorf("asked of key %s in the pair of %q", id, p.Recipient)
			}
			return unsigned
		}
	})
	p, err := g.Authenticate(Credential{Key: full("ie1", 6)})
	if err != nil || g.Stands(p) != nil {
		t.Fatalf("a signed key: %v, %v", err, g.Stands(p))
	}
	unsigned = errors.New("not signed")
	_, want := g.Authenticate(Credential{Key: full("ie1", 99)})
	if _, err := g.Authenticate(Credential{Key: full("ie1", 6)}); err == nil || err.Error() != want.Error() {
		t.Errorf("an unsigned key: %v, want %v", err, want)
	}
	if reasonOf(g.Stands(p)) != policy.Unauthenticated {
		t.Errorf("what it has begun: %v", g.Stands(p))
	}
}
