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
	{"the query of a request that fails is logged", []plant{{"dataplane/server/serve.go",
		"\"route\", x.route.pattern, \"tenant\", string(x.who.Tenant),\n", "\"route\", x.r.URL.String(), \"tenant\", string(x.who.Tenant),\n"}},
		"./dataplane/server", "TestINV09_NoNumberOfAQueryIsLogged"},
	{"an account's sid opens another tenant's", []plant{{"dataplane/server/twilio.go",
		"	if x.r.PathValue(\"account\") != sid {", "	if x.r.PathValue(\"account\") == \"\" {"}},
		"./dataplane/server", "TestTwilioCredentials"},
	{"an unknown filter shows everything", []plant{{"dataplane/twilio/query.go",
		"	if len(q.given) > 0 {\n", "	if len(q.given) > 99 {\n"}},
		"./dataplane/server", "TestTwilioLists"},
	{"a page holds calls to anybody", []plant{{"dataplane/twilio/filter.go",
		"return is(f.From, r.From) && is(f.To, r.To) &&", "return"}},
		"./dataplane/server", "TestTwilioLists"},
	{"a misdirected request is refused in another API's shape", []plant{{"dataplane/server/refuse.go",
		"	writeProblem(answer, r, err, requestID)\n", "	api.WriteProblem(answer, err, requestID)\n"}},
		"./dataplane/server", "TestINV07_TwilioMisdirected"},
	{"a list goes back to where its day was", []plant{{"dataplane/twilio/usagepage.go",
		"		return p.first < day\n", "		return p.first > day\n"}},
		"./dataplane/twilio", "TestUsage"},
}

func init() { bugs = append(bugs, twilioBugs...) }
