package chaos

// databaseBugs are bugs of backups of a region whose records are in a database.
var databaseBugs = []bug{
	{"a node starts on half a restored database", []plant{{"dataplane/restore_database.go",
		"	if err == nil && mark != nil {\n		err = errHalfDatabase", "	if err == nil && len(mark) > 1<<20 {\n		err = errHalfDatabase"}},
		"./dataplane", "TestADatabasesRestoreThatIsCutShortBeginsAnew"},
	{"a restore writes over a database that is in use", []plant{{"dataplane/restore_database.go",
		"	if err == nil && !empty && !half {", "	if false && !half {"}},
		"./dataplane", "TestINV07_ADatabasesRestoreRefuses"},
	{"a copy of a database is of many moments", []plant{{"dataplane/store/sql/dump.go",
		"IsoLevel: pgx.RepeatableRead", "IsoLevel: pgx.ReadCommitted"}},
		"./dataplane", "TestSnapshotsOfADatabase"},
	{"recordings are listed before the database that names them", []plant{
		{"dataplane/backup/create.go", "	if c.src.Rows != nil { // before recordings are listed: what records name must be among them\n		if err := c.rows(ctx); err != nil {\n			return err\n		}\n	}\n", ""},
		{"dataplane/backup/create.go", "	for _, e := range entries {\n		if err := c.record", "	if c.src.Rows != nil {\n		if err := c.rows(ctx); err != nil {\n			return err\n		}\n	}\n	for _, e := range entries {\n		if err := c.record"}},
		"./dataplane/backup", "TestRecordingsAreListedAfterTheDatabase"},
	{"a node goes on with the number of its own last note", []plant{{"dataplane/backup/notebook.go",
		"b.next == 0 || b.r.o.Shared {", "b.next == 0 {"}},
		"./dataplane/backup", "TestINV21_NotesOfSeveralNodesAreBehindTheSnapshot"},
	{"rows of a file are put in before it is whole", []plant{{"dataplane/backup/rows.go",
		"	if err := r.read(ctx, f, &whole); err != nil {\n		return fmt.Errorf(\"%w: %w\", ErrDamaged, err)\n	}\n", "	_ = r.read(ctx, f, &whole)\n"}},
		"./dataplane/backup", "TestRowsGoWhereTheyBelong"},
	{"a node that has taken no snapshot notes nothing", []plant{{"dataplane/backup_known.go",
		"	if m.link == nil {\n		return k, nil\n	}\n", "	if m.link == nil || k.Repository == \"\" {\n		return k, nil\n	}\n"}},
		"./test/system", "TestINV21_NodesShareTheirBackups"},
}

func init() { bugs = append(bugs, databaseBugs...) }
