package chaos

// streamBugs are of streamed ingest.
var streamBugs = []bug{
	{"a key that may only read brings records by a stream", []plant{{"dataplane/server/stream.go",
		"if err := x.who.May(gate.WriteRecords); err != nil {", "if err := x.who.May(gate.ReadRecords); err != nil {"}},
		"./dataplane/server", "TestTheStreamIsForWhoMayWrite"},
	{"a node takes streams without end", []plant{{"dataplane/server/stream.go",
		"if x.s.streaming.Add(1) > maxStreams {", "if x.s.streaming.Add(1) < 0 {"}},
		"./dataplane/server", "TestANodeTakesSoManyStreams"},
	{"batches of a stream wait in memory without end", []plant{{"dataplane/server/stream_work.go",
		"room := semaphore.NewWeighted(maxAhead)", "room := semaphore.NewWeighted(64 * maxAhead)"}},
		"./dataplane/server", "TestWhatAStreamHoldsIsBounded"},
	{"a stream that is silent is not told that its tenant moved", []plant{{"dataplane/server/stream_work.go",
		"	if err := x.may(false); err != nil {\n		return err\n	}\n	if n :=", "	if n :="}},
		"./dataplane/server", "TestWhoMovesAwayInMidStreamIsTold"},
	{"a stream at the wrong region is not told where streams go", []plant{{"dataplane/server/stream.go",
		"e.Reason == policy.WrongRegion && at != \"\" {", "e.Reason == policy.WrongRegion && at == \"-\" {"}},
		"./dataplane/server", "TestINV08_ARefusedStreamBringsNothing"},
	{"the client of streams sends what was acknowledged again", []plant{{"api/client/stream.go",
		"		s.pending = s.pending[1:]\n", "		if len(s.pending)%2 == 1 {\n			s.pending = s.pending[1:]\n		}\n"}},
		"./api/client", "TestAStreamGoesOnAtTheNextNode"},
	{"the client of streams believes an acknowledgement out of turn", []plant{{"api/client/stream.go",
		"if len(s.pending) == 0 || s.pending[0].GetSequence() != out.GetSequence() {", "if len(s.pending) == 0 {"}},
		"./api/client", "TestAStreamBelievesNoOtherAcknowledgement"},
	{"a region that deleted rows says later that it had none", []plant{{"dataplane/peer/forget.go",
		"	if all += more; had != nil && more == 0 {\n		return all, nil\n	}", "	if all += more; had != nil && more == 0 {\n		return 0, nil\n	}"}},
		"./dataplane/peer", "TestRowsOfErasedCallsAreDeletedByTheRegionTheyCameFrom"},
	{"a node never merges", []plant{{"dataplane/merge.go", "	for _, id := range tenants {\n		if err", "	for _, id := range tenants[:0] {\n		if err"}},
		"./test/system", "TestANodeMergesWhatCameAlone"},
}

func init() { bugs = append(bugs, streamBugs...) }
