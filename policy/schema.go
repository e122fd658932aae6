package policy

// exportSchemas is hex SHA-256 of what each transform set lets cross. The
// control plane names it in inbound pairs although it cannot see a record;
// package record proves by test that it is the hash of its field table, so that
// a change of what crosses is a change of this line, which a person reviews.
var exportSchemas = map[string]string{
	DefaultTransforms: "de6c13ea6e2c04cd4c68f425b1b7fa69f08e0642e706f487920eecba402411cf",
}

// ExportSchemaHash is hex SHA-256 of the export schema of a transform set, or
// "" when there is no such set.
func ExportSchemaHash(transforms string) string { return exportSchemas[transforms] }
