package chaos

// loadBugs are bugs that only a full disk or a hostile client shows.
var loadBugs = []bug{
	{"the reserve of a full disk is given to nobody", []plant{{"dataplane/disk/reserve.go",
		"\treturn r.has > 0 && r.resize(max(0, r.has-r.part())) == nil", "\treturn false"}},
		"./dataplane/disk", "TestReserve"},
	{"a merge takes the reserve", []plant{{"dataplane/store/local/roomfs.go",
		"\tif category == mergeCategory {", "\tif category == \"\" {"}},
		"./dataplane/store/local", "TestMergesAskPatiently"},
	{"an entry goes into an erasure ledger whose write failed", []plant{{"dataplane/subject/ledger_file.go",
		"\tif l.failed == nil {\n\t\treturn nil\n\t}\n", "\tif l.failed == nil || true {\n\t\treturn nil\n\t}\n"}},
		"./dataplane/subject", "TestLedgerMendsAfterAFailedWrite"},
	{"a ledger that somebody changed is carried on from", []plant{{"dataplane/subject/ledger_file.go",
		"\tif c.last != l.chain.last {", "\tif false && c.last != l.chain.last {"}},
		"./dataplane/subject", "TestLedgerDoesNotMendWhatWasChanged"},
	{"a certificate becomes final without the recipient's region", []plant{{"dataplane/subject/erase.go", "\t\tif left > 0 {", "\t\tif left > 1<<40 {"}},
		"./dataplane/subject", "TestINV21_FinalOnlyWhenTheOtherRegionHasAnswered"},
	{"what a restore left behind is put back", []plant{{"dataplane/backup/line.go", "if g.After < n && n <= g.Until {", "if g.After < n && n < g.After {"}},
		"./dataplane/backup", "TestINV21_WhatARestoreLeftBehindIsRefused"},
	{"a zero byte is the end of a body", []plant{{"dataplane/intake/split.go", "\ts.peek()\n\treturn s.start < s.end", "\treturn s.peek() != 0"}},
		"./dataplane/intake", "TestINV33_NothingBehindANULIsDropped"},
	{"a tenant that comes in clumps is taken for the overload", []plant{{"dataplane/admission/lane.go", " || s.queued*n <= 2*l.capacity", ""}},
		"./dataplane/admission", "TestINV41_ClumpsOfOneWithinItsPartAreTaken"},
}

func init() { bugs = append(bugs, loadBugs...) }
