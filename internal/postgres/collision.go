package postgres

import "github.com/jackc/pgx/v5/pgconn"

// Collision is what a database answers that could not serialize a transaction, and
// wants it to be run again from the start: SQLSTATE 40001.
func Collision() error {
	return &pgconn.PgError{Severity: "ERROR", Code: "40001", Message: "injected: could not serialize access"}
}
