package chaos

// endingBugs let something outlive the call that it hangs on (docs/adr/0084).
var endingBugs = []bug{
	{"media outlive their call", []plant{{"dataplane/subject/ending.go",
		"if err != nil || !some {", "if true || err != nil || !some {"}},
		"./dataplane", "TestINV21_MediaEndWithTheirCall"},
	{"media end after what leads to them", []plant{{"dataplane/subject/ending.go",
		"if err := s.endMedia(ctx, t, calls); err != nil {", "if err := s.between(\"\"); err != nil {"}},
		"./dataplane", "TestINV21_MediaEndWithTheirCall"},
	{"what comes for a call while it ends stays", []plant{{"dataplane/subject/ending.go",
		"return s.endMedia(ctx, t, calls) // what came", "return nil // what came"}},
		"./dataplane/subject", "TestINV21_NothingOutlivesItsCall"},
	{"media that end with their call count no holds", []plant{{"dataplane/subject/ending.go",
		"s.o.Media.Forget(ctx, t, id)", "s.o.Media.Forget(context.Background(), t, id)"}},
		"./dataplane", "TestINV24_AHoldComesBeforeMediaEndWithTheirCall"},
	{"the end of a retention names no rows that left", []plant{{"dataplane/subject/ending.go",
		"gone, err := s.departed(ctx, permit, calls)", "gone, err := s.departed(ctx, permit, calls[:0])"}},
		"./dataplane/subject", "TestINV21_NothingOutlivesItsCall"},
	{"an erasure is final while rows of ended calls are there", []plant{{"dataplane/export/bury.go",
		"|| part[2] == Expired) {", "|| false && part[2] == Expired) {"}},
		"./dataplane/subject", "TestINV21_NothingOutlivesItsCall"},
	{"a policy of before keeps recordings longer than their calls", []plant{{"policy/set.go",
		"return KeptFor(c, r.retention[c], r.retention[CallRecord]).Duration()", "return r.retention[c].Duration()"}},
		"./dataplane/feed", "TestINV21_APolicyOfBeforeIsTakenAndKeepsNothingLonger"},
	{"a policy that keeps recordings longer than their calls is taken", []plant{{"controlplane/server/tenants.go",
		"p.Outlasting(&base)...); len(list) > 0 {", "p.Outlasting(&base)[:0]...); len(list) > 0 {"}},
		"./controlplane", "TestPutPolicyTightensAtOnceAndNeverLoosensSilently"},
}

func init() { bugs = append(bugs, endingBugs...) }
