package chaos

// sqlBugs are those of the record store over a database that nodes share.
var sqlBugs = []bug{
	{"nodes do not wait for a tenant's turn", []plant{{"dataplane/store/sql/turn.go",
		" AND kind = $2 FOR UPDATE\"", " AND kind = $2\""}},
		"./dataplane/store/sql", "TestINV33_NodesStoreEachRecordOnce"},
	{"a node goes on with its chunk although another wrote", []plant{{"dataplane/store/sealed/turn.go",
		"		t.chunk = nil // a chunk stands", "		// a chunk stands"}},
		"./dataplane/store/sql", "TestINV21_NodesForgetTogether"},
	{"counters are kept in memory although another node counted", []plant{{"dataplane/store/sealed/turn.go",
		"		clear(t.cells)\n		clear(t.known)", "		clear(t.known)"}},
		"./dataplane/store/sql", "TestINV33_NodesStoreEachRecordOnce"},
	{"a node goes on with what it remembers although another changed it", []plant{{"dataplane/store/sealed/turn.go",
		"	if t.shape.Load() == shape {", "	if t.shape.Load() >= 0 {"}},
		"./dataplane/store/sql", "TestNodesReassignAtOnce"},
	{"a commit of which the database said nothing is acknowledged", []plant{{"dataplane/store/sql/turn.go",
		"	return unknown(err)\n", "	return nil\n"}},
		"./dataplane/store/sql", "TestINV33_NothingAcknowledgedIsLostWithTheServer"},
	{"a commit that somebody answered for a server that is gone counts as not made", []plant{{"dataplane/store/sql/turn.go",
		"	case database.Undone(err):\n", "	case database.Undone(err) || refused(err):\n"}},
		"./dataplane/store/sql", "TestINV33_ACommitThatAPoolerLostIsUnknown"},
	{"a change whose commit's answer is lost is made again", []plant{{"dataplane/shelf/sql/db.go",
		" || errors.Is(err, &policy.Error{Reason: policy.OutcomeUnknown}) {\n", " {\n"}},
		"./dataplane/shelf/sql", "TestACommitWhoseAnswerIsLostIsMadeOnce"},
	{"items of several nodes are compared without a turn", []plant{{"dataplane/store/sql/turn.go",
		"	if err = t.lock(ctx); errors.Is(err, pgx.ErrNoRows) {", "	if kind == sealed.ItemTurn {\n		return t, nil\n	}\n	if err = t.lock(ctx); errors.Is(err, pgx.ErrNoRows) {"}},
		"./dataplane/store/sql", "TestNodesPutItemsOnce"},
	{"a session does not wait for its commits", []plant{{"dataplane/database/database.go",
		"	if commit != \"off\" {", "	if commit != \"\" {"}},
		"./dataplane/store/sql", "TestASessionWaitsForItsCommits"},
	{"the tables of a newer program are taken", []plant{{"dataplane/store/sql/migrate.go",
		"			if version > len(steps) {", "			if version < 0 {"}, {"dataplane/store/sql/migrate.go",
		"			if version == len(steps) {", "			if version >= len(steps) {"}},
		"./dataplane/store/sql", "TestADatabaseOfAnotherIsRefused"},
}

func init() { bugs = append(bugs, sqlBugs...) }
