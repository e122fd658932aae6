package chaos

// powerBugs are bugs that only a lost power, or a damaged disk, shows.
var powerBugs = []bug{
	{"a record is acknowledged before it is durable", []plant{{"dataplane/store/sealed/group.go",
		"\tif g.applied {\n\t\tfailpoint.At(\"store/sync\")\n", "\tfor _, j := range g.jobs {\n\t\tclose(j.notify)\n\t}\n\tg.jobs = nil\n\tif g.applied {\n\t\tfailpoint.At(\"store/sync\")\n"}},
		"./test/power", "TestINV33_PowerCutsOfTheStore"},
	{"a committer ends before its last group is synced", []plant{{"dataplane/store/sealed/tenant.go",
		"\t\tjobs := t.take(previous == nil)\n\t\tif jobs == nil && previous == nil {", "\t\tjobs := t.take(true)\n\t\tif jobs == nil {"}},
		"./dataplane/store/local", "TestINV33_DuplicateWaitsForItsFirstCopy"},
	{"keys are used before they are durable", []plant{{"dataplane/local/table.go",
		"\tif err := t.file.write(block, offset(t.written)); err != nil {", "\tif err := t.file.put(block, offset(t.written)); err != nil {"}},
		"./test/power", "TestINV33_PowerCutsOfTheStore"},
	{"a certificate is final though a key may live", []plant{{"dataplane/subject/erase.go",
		"\tif c.Counts.Damaged > 0 {", "\tif false && c.Counts.Damaged > 0 {"}},
		"./dataplane/subject", "TestINV21_DamagedChunkKeepsACertificateFromBeingFinal"},
	{"a drop of a damaged chunk is not said again", []plant{{"dataplane/store/sealed/rewrite.go",
		"\tout.Damaged, err = t.countUndead(all)", "\t_, err = t.countUndead(all)"}},
		"./dataplane/store/local", "TestINV21_DropOfADamagedChunkIsSaidAgain"},
	{"a counter is shown while it is counted anew", []plant{{"dataplane/store/sealed/rollup.go",
		"\tif err := t.wholeCells(record.DayOf(first), record.DayOf(last)); err != nil {", "\tif err := t.wholeCells(record.DayOf(last), record.DayOf(first)); err != nil {"}},
		"./dataplane/store/local", "TestINV34_CountingAnewCutShort"},
}

func init() { bugs = append(bugs, powerBugs...) }
