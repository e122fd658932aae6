package chaos

// twilioBugs are bugs of single calls that go, and of the reads that another API's
// clients make.
var twilioBugs = []bug{
	{"a deleted call comes back with a backup", []plant{{"dataplane/subject/deletion.go",
		"				out = append(out, id)\n", ""}},
		"./dataplane/subject", "TestINV22_RestoreDeletesCallsAgain"},
	{"a restore forgets only the last erasure", []plant{{"dataplane/subject/ledger.go",
		"append(f.Owners, in.Owners...), append(f.Calls, in.Calls...)", "in.Owners, in.Calls"}},
		"./dataplane/subject", "TestINV22_RestoreForgetsAllAtOnce"},
	{"a call is deleted under a hold", []plant{{"dataplane/subject/deletion.go",
		"func() (string, error) { return id, nil }", "func() (string, error) { return \"\", nil }"}},
		"./dataplane/subject", "TestHoldsStandAgainstDeletingACall"},
}

func init() { bugs = append(bugs, twilioBugs...) }
