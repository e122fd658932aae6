package sql

import (
	"context"
	"net"
	"time"

	"github.com/domicile-io/domicile/dataplane/store/sealed"
)

// Versions is how many versions of the tables there are.
func Versions() int { return len(migrations) }

// Table is where rows of a kind are.
func Table(kind byte) string { return tables[kind] }

func connectFor(ctx context.Context, dsn string) (*engine, error) {
	return connect(ctx, &Options{DSN: dsn, Dial: (&net.Dialer{}).DialContext, Connections: 2, Timeout: 30 * time.Second})
}

// OpenEngine opens what keeps the rows, in a new database.
func OpenEngine(ctx context.Context, dsn string) (sealed.Engine, error) {
	e, err := connect(ctx, &Options{DSN: dsn, Dial: (&net.Dialer{}).DialContext, Connections: 8, Timeout: 30 * time.Second})
	if err != nil {
		return nil, err
	}
	return e, e.migrate(ctx, migrations)
}

// MigrateTo brings a new database to a version.
func MigrateTo(ctx context.Context, dsn string, version int) error {
	e, err := connectFor(ctx, dsn)
	if err != nil {
		return err
	}
	defer e.Close()
	return e.migrate(ctx, migrations[:version])
}

// SessionSettings are those of a session that writes.
func SessionSettings(ctx context.Context, dsn string) (map[string]string, error) {
	e, err := connectFor(ctx, dsn)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	out := map[string]string{}
	for _, name := range []string{"synchronous_commit", "idle_in_transaction_session_timeout"} {
		var value string
		if err := e.turns[sealed.WriteTurn].QueryRow(ctx, "SHOW "+name).Scan(&value); err != nil {
			return nil, err
		}
		out[name] = value
	}
	return out, nil
}
