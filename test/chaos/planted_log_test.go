package chaos

// logBugs are bugs of a region's log, of receipts, and of what nodes report.
var logBugs = []bug{
	{"a checkpoint holds the region's log up while its floor is synced", []plant{{"dataplane/log/checkpoint.go",
		"	if err := next.save(l.o.Dir); err != nil {", "	l.mu.Lock()\n	err = next.save(l.o.Dir)\n	l.mu.Unlock()\n	if err != nil {"}},
		"./dataplane/log", "TestINV28_ACheckpointThatHangsHoldsNobodyUp"},
	{"an entry is noted in a commit of its own, after the change", []plant{{"dataplane/store/sealed/log.go",
		"\tseq = s.nextSeq()\n\treturn seq, b.Set(notedKey(seq), n.Append(nil))", "\tseq = s.nextSeq()\n\tgo func() { _ = s.inLog(func(b Batch) error { return b.Set(notedKey(seq), n.Append(nil)) }) }()\n\treturn seq, nil"}},
		"./dataplane/store/local", "TestINV27_CutShortThereAreBothOrNeither"},
	{"a log that was put back goes on under its name", []plant{{"dataplane/log/continue.go",
		"\t\treturn \"ROLLED_BACK\", nil\n", "\t\treturn \"\", nil\n"}},
		"./dataplane/log", "TestINV26_RestoredLogDoesNotFork"},
	{"a log without its floor is signed", []plant{{"dataplane/log/continue.go",
		"\tcase low.Log == \"\" && !l.o.Shared:", "\tcase false && low.Log == \"\" && !l.o.Shared:"}},
		"./dataplane/log", "TestINV26_RestoredLogDoesNotFork"},
	{"a leaf's detail has no salt", []plant{{"dataplane/log/grow.go",
		"\tl.about[\"salt\"] = hex.EncodeToString(salt[:])\n", ""}},
		"./dataplane/log", "TestINV29_LeavesHideTheirDetail"},
	{"a receipt's openings are not compared with its root", []plant{{"audit/verify/receipt.go",
		"hex.EncodeToString(root[:]) != s.Records {", "len(root) != len(s.Records)/2 {"}},
		"./dataplane/log", "TestReceiptsProveWhatWasStored"},
	{"a duplicate of another request gets that one's receipt", []plant{{"dataplane/store/sealed/receipt.go",
		"\t\t\tif j.out[i].State != store.Duplicate {", "\t\t\tif true || j.out[i].State != store.Duplicate {"}},
		"./dataplane/store/local", "TestConformance"},
	{"a node's own word for a cause becomes a violation", []plant{{"controlplane/server/findings.go",
		"\treturn \"\"\n}", "\treturn \"LOCATION\"\n}"}},
		"./controlplane", "TestFindingsOfNodesAreViolations"},
}

func init() { bugs = append(bugs, logBugs...) }
