// Package sql is the record store of a region whose nodes share a database:
// dataplane/store/sealed over tables of any database that speaks PostgreSQL's
// protocol. It uses no extension, no advisory lock, no trigger and no type that
// Aurora, CockroachDB or YugabyteDB lack; run it was with PostgreSQL 15 only.
//
// The database sees sealed values, keyed tags, ordinals and times. Every commit
// is acknowledged after the database has made it durable, and what must hold
// across nodes (one copy of a record, one id of a number, exact counters, one
// rewrite at a time) holds because a tenant's row is locked from before it is
// looked at until the commit.
//
//	s, err := sql.Open(ctx, sql.Options{DSN: …, Dial: …, Region: "ie1", Keys: keys})
package sql
