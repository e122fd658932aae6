package chaos

// mergeBugs are bugs of covers, under which records are put that came alone.
var mergeBugs = []bug{
	{"an erasure from a cover destroys one key of those that the cover stands under", []plant{{"dataplane/store/sealed/unit.go",
		"out.destroyAll(c.keys)", "out.destroyAll(c.keys[:1])"}},
		"./dataplane/store/local", "TestINV21_ErasedFromACover"},
	{"a cover opens with the first of its keys alone", []plant{{"dataplane/store/sealed/cover.go",
		"for _, id := range ids {\n		key, err := s.keys.For", "for _, id := range ids[:1] {\n		key, err := s.keys.For"}},
		"./dataplane/store/local", "TestINV21_AnOldCopyThatIsLivedOnWith"},
	{"the end of a tenant leaves the keys of covers", []plant{{"dataplane/store/sealed/purge.go",
		"ids = append(ids, covered...)", "_ = covered"}},
		"./dataplane/store/local", "TestINV21_PurgeOfCovers"},
	{"a rewrite notes covers for backups, and not what points to them", []plant{{"dataplane/store/sealed/backup.go",
		"rows = append(append(rows, c.rows...), c.pointers...)", "rows = append(rows, c.rows...)"}},
		"./dataplane/backup", "TestINV21_NotesBringOthersBackAndNobodyElse"},
	{"a restore puts a cover back with frames that the backup does not have", []plant{{"dataplane/store/sealed/putback.go",
		"if len(there) < len(c.frames) {", "if false {"}},
		"./dataplane/backup", "TestINV21_ACoverOfMoreThanTheBackupHas"},
	{"a damaged pointer costs its frame", []plant{{"dataplane/store/sealed/aside.go",
		"if err == nil && !mended {", "if mended = false; err == nil {"}},
		"./dataplane/store/local", "TestINV34_DamagedPointer"},
	{"the keys of a damaged cover live on after an erasure", []plant{{"dataplane/store/sealed/unit.go",
		"out.destroyAll(t.s.headerKeys(t.raw, name, value))\n			return nil", "return nil"}, {"dataplane/store/sealed/unit.go",
		"out.destroyAll(t.s.headerKeys(t.raw, readPlace(at), value))", "_ = at"}},
		"./dataplane/store/local", "TestINV34_DamagedCover"},
	{"a window takes frames of a cover that were ingested before or after it", []plant{{"dataplane/store/sealed/window.go",
		"if !within(f.ingest, lower, upper) {", "if false {"}},
		"./dataplane/store/local", "TestWindowCutsThroughACover"},
	{"a chunk is merged without its last frame", []plant{{"dataplane/store/sealed/small.go",
		"for n, value := range values {", "for n, value := range values[:len(values)-1] {"}},
		"./dataplane/store/local", "TestMergedStoreIsAPlainModel"},
	{"records are merged on a full disk", []plant{{"dataplane/store/sealed/merge.go",
		"errors.Join(ctx.Err(), s.usable(), s.room(s.now())); err != nil {\n		return Merged{}, err", "errors.Join(ctx.Err(), s.usable()); err != nil {\n		return Merged{}, err"}},
		"./dataplane/store/local", "TestNoMergeOnAFullDisk"},
}

func init() { bugs = append(bugs, mergeBugs...) }
