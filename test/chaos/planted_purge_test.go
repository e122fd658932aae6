package chaos

// purgeBugs are bugs of the end of a tenant where several nodes, holds and recipients meet.
var purgeBugs = []bug{
	{"a node that has purged a tenant releases no hold of it", []plant{{"dataplane/store/sealed/held.go",
		"always := func() error { return nil }", "always := t.alive"}},
		"./dataplane/store/sql", "TestINV24_AHoldIsReleasedWhereThePurgeHasBegun"},
	{"the log says that a purge begins that is refused", []plant{{"dataplane/store/sealed/purge.go",
		"	if err := t.unheld(ctx); err != nil {\n\t\treturn err\n\t}\n\tif err := t.s.noteBegin(ctx); err", "	told := t.s.noteBegin(ctx)\n\tif err := t.unheld(ctx); err != nil {\n\t\treturn err\n\t}\n\tif err := told; err"}},
		"./dataplane/store/local", "TestConformance/TestINV24_PurgeBegins"},
	{"an order that is not given any more is told as one that waits", []plant{{"dataplane/purge_held.go",
		"return !given[order]", "return false"}},
		"./dataplane", "TestHeldEndsAreForgotten"},
	{"a recipient purges a tenant's rows in one transaction", []plant{{"dataplane/peer/purge.go",
		"const purgePiece = 1000", "const purgePiece = 1000 * 1000"}},
		"./dataplane/peer", "TestINV21_ManyRowsArePurgedInPieces"},
	{"a recipient purges the marks before the rows", []plant{{"dataplane/peer/purge.go",
		"bucketRows, bucketTaken, bucketGraves, bucketSources, bucketMarks}", "bucketMarks, bucketRows, bucketTaken, bucketGraves, bucketSources}"}},
		"./dataplane/peer", "TestINV21_ManyRowsArePurgedInPieces"},
	{"a node that is away is excused without being evicted", []plant{{"controlplane/store/apply_lifecycle.go",
		"if !ok || known.State != NodeEvicted {", "if !ok && known.State != NodeEvicted {"}},
		"./controlplane", "TestWaitingIsBounded"},
	{"a node is excused by nobody's word", []plant{{"internal/cli/tenants_end.go",
		"if a.readLine() != node {", "if a.readLine() == node {"}},
		"./internal/cli", "TestScripts/scripts/lifecycle"},
	{"the half-done change of a killed node passes for one's own", []plant{{"dataplane/shelf/copied/shelf.go",
		"\t\ttag = was\n", "\t\t_ = was\n\t\treturn nil\n"}},
		"./dataplane/aws", "TestINV33_AKilledNodeLeavesEveryKeyInTheCopy"},
	{"what comes late to a key copy stays until its next base", []plant{{"dataplane/shelf/copied/base.go",
		"if err := c.Prune(ctx); err != nil { // what", "if err := error(nil); err != nil { // what"}},
		"./dataplane/aws", "TestINV21_ACopyForgetsWhatIsDeleted"},
}

func init() { bugs = append(bugs, purgeBugs...) }
