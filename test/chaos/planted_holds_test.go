package chaos

// holdBugs are bugs of legal holds that are placed while something is destroyed.
var holdBugs = []bug{
	{"a commit that destroys does not count the holds", []plant{{"dataplane/store/sealed/held.go",
		"err == nil && n != seen", "err == nil && false && n != seen"}},
		"./dataplane/store/local", "TestConformance"},
	{"a hold is placed while a commit that destroys is on its way", []plant{{"dataplane/store/sealed/held.go",
		"\tt.holding.RLock()\n\tdefer t.holding.RUnlock()\n\tif err :=", "\tif err :="}},
		"./dataplane/store/local", "TestINV24_AHoldWaitsForTheCommit"},
	{"a hold of another node does not wait for who rewrites", []plant{{"dataplane/store/sealed/held.go",
		"kind != store.HoldItem || !t.s.engine.Shared()", "kind != store.HoldItem || t.s.engine != nil"}},
		"./dataplane/store/sql", "TestINV24_AHoldWaitsForTheCommit"},
	{"a call is deleted by who has not looked at the holds", []plant{{"dataplane/subject/unheld.go",
		"err := work(store.WithHolds(ctx))", "err := work(ctx)"}},
		"./dataplane/subject", "TestINV24_AHoldComesInTheMomentOfADestruction"},
	{"the end of a retention drops what it has not looked at the holds of", []plant{{"dataplane/retention.go",
		"\t\tctx := store.WithHolds(ctx)\n", ""}},
		"./dataplane", "TestINV24_AHoldComesWhileARetentionEnds"},
	{"a payload in quarantine expires although a hold came", []plant{{"dataplane/retention.go",
		"ctx := store.WithHolds(whole)", "ctx := whole"}},
		"./dataplane", "TestINV24_AHoldComesWhileARetentionEnds"},
	{"recordings expire although a hold came", []plant{{"dataplane/media/expire.go",
		"l.expirePage(store.WithHolds(ctx),", "l.expirePage(ctx,"}},
		"./dataplane/subject", "TestINV24_AHoldComesWhileMediaExpire"},
	{"a hold is placed on a call that is just being deleted", []plant{{"dataplane/subject/holds.go",
		"if err = s.begun(ctx, t, &h); err == nil {", "if err = error(nil); err == nil {"}},
		"./dataplane/subject", "TestINV24_AHoldComesTooLate"},
	{"an erasure goes on over calls that a hold covers since", []plant{{"dataplane/subject/steps.go",
		"return len(by) > 0, err", "return false && len(by) > 0, err"}},
		"./dataplane/subject", "TestINV24_AnErasureWaitsBeforeHeldCalls"},
	{"a purge looks at no legal hold", []plant{{"dataplane/purge_held.go",
		"if len(holds) == 0 {", "if len(holds) >= 0 {"}},
		"./test/system", "TestINV24_APurgeWaitsForALegalHold/local"},
	{"a node that waits for a legal hold is excused", []plant{{"controlplane/server/held.go",
		"n.GetNode() == node && n.GetHolds() > 0", "n.GetNode() == node && false"}},
		"./test/system", "TestINV24_APurgeWaitsForALegalHold/local"},
	{"who has no permit may place a hold", []plant{{"dataplane/store/sealed/held.go",
		"hold.Kind != store.HoldItem || ifVersion == 0", "hold.Kind != store.HoldItem"}},
		"./dataplane/store/local", "TestConformance/TestINV24_ReplaceHold"},
	{"a deletion that was cut short is left", []plant{{"dataplane/subject/run.go",
		"unfinished := s.finishDeletions(ctx, t)", "unfinished := error(nil)"}},
		"./dataplane/subject", "TestINV24_AHoldComesTooLate"},
}

// lateBugs are bugs of what comes for a call in the moment of its destruction.
var lateBugs = []bug{
	{"a deletion looks once at what its call has", []plant{{"dataplane/subject/deletion.go",
		"err != nil || s.o.Media == nil {\n\t\treturn err\n\t}\n\tfor _, id", "err != nil || s.o.Media != nil {\n\t\treturn err\n\t}\n\tfor _, id"}},
		"./dataplane/subject", "TestINV21_WhatComesWhileACallIsDestroyed"},
	{"what came after the last look at a deleted call stays", []plant{{"dataplane/media/library.go",
		"if !isReason(err, policy.NotFound) {\n\t\treturn nil //", "if true || !isReason(err, policy.NotFound) {\n\t\treturn nil //"}},
		"./dataplane/subject", "TestINV21_WhatComesAfterTheLastLookIsTakenBack"},
	{"a recipient notes all rows that must go in one transaction", []plant{{"dataplane/peer/graves.go",
		"for piece := range slices.Chunk(named, gravePiece) {\n\t\tif err := in.bury(", "for piece := range slices.Chunk(named, len(named)) {\n\t\tif err := in.bury("}},
		"./dataplane/peer", "TestINV21_ManyRowsAreForgottenInPieces"},
	{"a recipient opens everything again for what it has forgotten", []plant{{"dataplane/peer/graves.go",
		"if g.state != graveDone {\n\t\t\t\topen[row] = true", "if true {\n\t\t\t\topen[row] = true"}},
		"./dataplane/peer", "TestINV21_ManyRowsAreForgottenInPieces"},
	{"a log that fails while a store is opened is left to the engine", []plant{{"dataplane/store/local/lastword.go",
		"if e.store.Load() == nil {\n\t\te.folderFailed(err)", "if false {\n\t\te.folderFailed(err)"}},
		"./dataplane/store/local", "TestADiskThatVanishesAtOpenIsAnError"},
	{"a full disk passes for a connection that broke", []plant{{"api/client/backup.go",
		"case out.err != nil:", "case out.err != nil && false:"}},
		"./api/client", "TestABackupThatCannotBeWrittenIsNoFaultOfTheConnection"},
}

// repeatBugs are bugs of transactions that a database has run again.
var repeatBugs = []bug{
	{"a repeated reading of streams counts twice", []plant{{"dataplane/export/list.go",
		"\t\tfound = nil\n", ""}},
		"./dataplane/export", "TestReadersOfARepeatedTransactionAnswerOnce"},
	{"a repeated reading of tombstones names rows twice", []plant{{"dataplane/export/bury.go",
		"\t\tout = nil\n", ""}},
		"./dataplane/export", "TestReadersOfARepeatedTransactionAnswerOnce"},
}

func init() { bugs = append(append(append(bugs, holdBugs...), repeatBugs...), lateBugs...) }
