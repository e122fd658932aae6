package chaos

// packedBugs are bugs of what a policy costs its voters: of bytes of its own, and of
// what is judged by hand.
var packedBugs = []bug{
	{"a packed policy forgets a field", []plant{{"controlplane/store/packed_policy.go", "	p.flag(v.AllowRegionChange)\n", ""},
		{"controlplane/store/packed_policy.go", "	v.AllowRegionChange = u.flag()\n", ""}},
		"./controlplane/store", "TestPackedFormsHaveEveryField"},
	{"a packed number has several forms", []plant{{"controlplane/store/packed.go", "if i > 0 && c == 0 || i", "if i"}},
		"./controlplane/store", "TestPackedFormsAreStrict"},
	{"a packed policy may say something twice", []plant{{"controlplane/store/packed_policy.go", "		if k <= last {", "		if k < last {"}},
		"./controlplane/store", "TestPackedFormsAreStrict"},
	{"a class of data is another in packed policies of before", []plant{{"policy/classes.go",
		"	CallRecord DataClass = iota + 1\n	Recording\n", "	Recording DataClass = iota + 1\n	CallRecord\n"}},
		"./controlplane/store", "TestPackedNumbersStay"},
	{"a restart shifts what the audit log remembers of its newest leaves", []plant{{"controlplane/store/audit.go",
		"if index != e.first+uint64(len(e.leaves)) || index%audit.Block == 0 {", "if index%audit.Block == 0 {"}},
		"./controlplane/store", "TestINV27_ABlockIsWhatItsLeavesSay"},
	{"the change log passes over the beginning of a batch", []plant{{"controlplane/store/batch.go",
		"whole.log.First = whole.before + 1", "whole.log.First = next.revision"}},
		"./controlplane/store", "TestTheChangeLogOfBatchesReachesBack"},
	{"the change log of batches grows without end", []plant{{"controlplane/store/entry.go",
		"k != nil && bytes.Compare(k, end) <= 0; k, _ = c.Next() {", "k != nil && bytes.Equal(k, end); k, _ = c.Next() {"}},
		"./controlplane/store", "TestTheChangeLogOfBatchesReachesBack"},
	{"voters remember policies with commands of any size", []plant{{"controlplane/store/apply_policy.go", "err == nil && len(e.command) <= maxRemembered", "err == nil"}},
		"./controlplane/store", "TestLargeCommandsAreNotRemembered"},
	{"a packed command that may be skipped stops a voter", []plant{{"controlplane/store/codec.go", "if !ok && kind&Ignorable != 0 {", "if !ok && kind&Ignorable > Ignorable {"}},
		"./controlplane/store", "TestUnreadableCommandStops"},
	{"a code that is too long is valid", []plant{{"policy/pattern.go", "len(s) < p.least || len(s) > p.most", "len(s) < p.least || len(s) > p.most+1"}},
		"./policy", "TestPatternsAreTheirExpressions"},
}

func init() { bugs = append(bugs, packedBugs...) }
