package chaos

// rowBugs are bugs of what a record costs: of work that is done once for many.
var rowBugs = []bug{
	{"two parties that are new get one subject id", []plant{{"dataplane/store/sealed/lookup.go", "	g.ids = g.ids[16:]\n", ""}},
		"./dataplane/store/sealed", "TestSubjectsGetIDsOfTheirOwn"},
	{"of two rows of a group with one key the first stays", []plant{{"dataplane/store/sealed/rows.go",
		"return cmp.Compare(x.key, y.key)", "return cmp.Compare(y.key, x.key)"}},
		"./dataplane/store/sealed", "TestRowsGoInKeyOrder"},
	{"a number that goes on behind its plan is valid", []plant{{"dataplane/intake/digits.go", "if prefix && d.accepts[from] {", "if d.accepts[from] {"}},
		"./dataplane/intake", "TestDigitsAgreeWithRegexp"},
}

func init() { bugs = append(bugs, rowBugs...) }
