package policy

import "testing"

func TestOnlyKnownTransformSetsHaveASchema(t *testing.T) {
	if len(ExportSchemaHash(DefaultTransforms)) != 64 {
		t.Error("the standard set has no schema hash")
	}
	if ExportSchemaHash("other") != "" {
		t.Error("an unknown set has a schema hash")
	}
}
