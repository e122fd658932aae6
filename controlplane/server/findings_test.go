package server

import "testing"

// What a node may find of itself has a category, and nothing else has one.
func TestEachFindingHasACategory(t *testing.T) {
	for cause, want := range map[string]string{causeBucketLocation: "LOCATION", causeBucketReplication: "LOCATION", causeCanary: "LOCATION",
		causeBucketKey: "ENCRYPTION", causeCorrupt: "ENCRYPTION", "CALL_ME": "", "": ""} {
		if got := findingCategory(cause); got != want {
			t.Errorf("%q is of category %q, want %q", cause, got, want)
		}
	}
}
