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
	{"a code that is too long is valid", []plant{{"policy/pattern.go", "len(s) < p.least || len(s) > p.most", "len(s) < p.least || len(s) > p.most+1"}},
		"./policy", "TestPatternsAreTheirExpressions"},
}

func init() { bugs = append(bugs, packedBugs...) }
