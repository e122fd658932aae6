package api

import "testing"

// FuzzParsePolicyToken: what is read as a token is of the revision whose token
// gives it again.
func FuzzParsePolicyToken(f *testing.F) {
	f.Add(PolicyToken(0))
	f.Add(PolicyToken(1 << 60))
	f.Add("ZG9taWNpbGUtcmV2aXNpb24tMTotMQ")
	f.Fuzz(func(t *testing.T, token string) {
		revision, err := ParsePolicyToken(token)
		if err != nil {
			return
		}
		if again, err := ParsePolicyToken(PolicyToken(revision)); err != nil || again != revision {
			t.Fatalf("%q is of %d, and its own token of %d, %v", token, revision, again, err)
		}
	})
}
