package api

import "testing"

func TestPolicyTokens(t *testing.T) {
	for _, rev := range []uint64{0, 1, 1 << 63} {
		if got, err := ParsePolicyToken(PolicyToken(rev)); err != nil || got != rev {
			t.Errorf("%d came back as %d, %v", rev, got, err)
		}
	}
	for _, bad := range []string{"", "12", "ZG9t", PolicyToken(1) + "x", PolicyToken(1)[1:], "ZG9taWNpbGUtcmV2aXNpb24tMTot"} {
		if _, err := ParsePolicyToken(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
