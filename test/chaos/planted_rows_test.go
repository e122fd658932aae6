package chaos

// rowBugs are bugs of what a record costs: of work that is done once for many.
var rowBugs = []bug{
	{"what is random in a frame is compressed with the rest", []plant{{"dataplane/store/sealed/frame.go",
		"if len(plain.Noise) >= noiseApart {", "if false {"}},
		"./dataplane/store/sealed", "TestNoiseSpoilsNoText"},
	{"a frame gives its entries the noise of others", []plant{{"dataplane/store/sealed/frame.go",
		"entries = append(entries, record.Form{Text: b, Noise: noise.take(noiseOf(b))})",
		"entries = append(entries, record.Form{Text: b, Noise: noise.b[max(0, len(noise.b)-noiseOf(b)):]})\n\t\tnoise.b = noise.b[:max(0, len(noise.b)-noiseOf(b))]"}},
		"./dataplane/store/sealed", "TestFramesKeepNoiseApart"},
	{"a piece of a file is given away record by record", []plant{{"dataplane/server/spoken.go", "if len(b) > tlsRecord {", "if false {"}},
		"./dataplane/server", "TestAPieceIsWrittenTogether"},
	{"a busy store has long logs", []plant{{"dataplane/store/local/open.go", "MemTableSize:                6 << 20", "MemTableSize:                16 << 20"}},
		"./dataplane/store/local", "TestLogsAreShort"},
	{"two parties that are new get one subject id", []plant{{"dataplane/store/sealed/lookup.go", "	g.ids = g.ids[16:]\n", ""}},
		"./dataplane/store/sealed", "TestSubjectsGetIDsOfTheirOwn"},
	{"of two rows of a group with one key the first stays", []plant{{"dataplane/store/sealed/rows.go",
		"return cmp.Compare(x.key, y.key)", "return cmp.Compare(y.key, x.key)"}},
		"./dataplane/store/sealed", "TestRowsGoInKeyOrder"},
	{"a number that goes on behind its plan is valid", []plant{{"dataplane/intake/digits.go", "if prefix && d.accepts[from] {", "if d.accepts[from] {"}},
		"./dataplane/intake", "TestDigitsAgreeWithRegexp"},
	{"the log that is written to next goes with those of a store that rests", []plant{{"dataplane/store/local/rest.go",
		"	for _, path := range logs {", "	logs, _, _ = e.logs()\n	for _, path := range logs {"}},
		"./dataplane/store/local", "TestINV33_LogsGoWhenAStoreRests"},
	{"a store that rests writes into a long log again", []plant{{"dataplane/store/local/rest.go",
		"	if f.fresh.Load() {", "	if false {"}},
		"./dataplane/store/local", "TestINV33_LogsGoWhenAStoreRests"},
	{"a store never rests", []plant{{"dataplane/store/local/rest.go", "			if quiet++; quiet != restAfter {", "			if quiet++; true {"}},
		"./dataplane/store/local", "TestAStoreRestsByItself"},
}

func init() { bugs = append(bugs, rowBugs...) }
