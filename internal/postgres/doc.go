// Package postgres starts PostgreSQL for tests, from the programs that are
// installed on this machine: a real server with real syncs, on a Unix socket in
// a folder of its own. It belongs in no program.
//
//	func TestMain(m *testing.M) { os.Exit(postgres.Main(m)) }
//
//	dsn := postgres.Database(t)   // a new database on the test binary's one server
//	s := postgres.Start(t)        // a server of the test's own, to kill and to read the files of
//
// Without initdb and postgres the test is skipped, unless
// DOMICILE_NEED_POSTGRES is set, as .ci/run does: then it fails.
package postgres
