package sql

// schemaFormat is the format of the tables below; others are refused.
const schemaFormat = 1

// schema makes the tables. Types and statements are those that PostgreSQL,
// CockroachDB and YugabyteDB have in common.
var schema = []string{
	`CREATE TABLE IF NOT EXISTS domicile_owner (
		one     int PRIMARY KEY CHECK (one = 1), -- there is one row
		region  text NOT NULL,
		cluster text NOT NULL,
		format  int NOT NULL
	)`,
	`CREATE TABLE IF NOT EXISTS domicile_shelf (
		shelf  text NOT NULL,
		bucket text NOT NULL,
		key    bytea NOT NULL,
		value  bytea NOT NULL, -- personal only when sealed
		PRIMARY KEY (shelf, bucket, key)
	)`,
	`CREATE TABLE IF NOT EXISTS domicile_shelf_lock (
		shelf text PRIMARY KEY -- its row is locked by the one transaction that changes the shelf
	)`,
	`CREATE TABLE IF NOT EXISTS domicile_lease (
		name    text PRIMARY KEY,
		holder  text NOT NULL, -- "" nobody
		fence   bigint NOT NULL, -- one more each time that it changes hands
		expires timestamptz NOT NULL
	)`,
}
