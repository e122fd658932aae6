package sql_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/dataplane/store/sealed"
	"github.com/domicile-io/domicile/dataplane/store/sql"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/internal/postgres"
	"github.com/domicile-io/domicile/policy"
)

// query runs a statement, and gives the first column of what it answers.
func query(t testing.TB, dsn, statement string, args ...any) (out []string) {
	t.Helper()
	ctx := context.Background()
	c, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	rows, err := c.Query(ctx, statement, args...)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	if out, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return out
}

func tryOpen(t testing.TB, o sql.Options) error {
	t.Helper()
	o.Dial = (&net.Dialer{}).DialContext
	if o.Region == "" {
		o.Region = storetest.Region
	}
	s, err := sql.Open(context.Background(), o)
	if err == nil {
		return s.Close()
	}
	return err
}

// TestMigrationsFromEachVersion: from every version that was ever released the
// tables come to be what a new database gets, and what was stored is there.
func TestMigrationsFromEachVersion(t *testing.T) {
	columns := `SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1`
	fresh := postgres.Database(t)
	if err := tryOpen(t, sql.Options{DSN: fresh, Keys: openKeys(t)}); err != nil {
		t.Fatal(err)
	}
	want := strings.Join(query(t, fresh, columns), "\n")
	for version := range sql.Versions() {
		dsn, keys := postgres.Database(t), openKeys(t)
		if err := sql.MigrateTo(context.Background(), dsn, version); err != nil {
			t.Fatalf("version %d: %v", version, err)
		}
		s, _ := open(t, dsn, keys, nil)
		if _, err := s.Append(context.Background(), permit(t, policy.Ingest), []record.Record{storetest.Native(1)}); err != nil {
			t.Fatalf("from version %d: %v", version, err)
		}
		if n := len(everyCall(t, s, store.Query{})); n != 1 {
			t.Errorf("from version %d: %d calls", version, n)
		}
		if got := strings.Join(query(t, dsn, columns), "\n"); got != want {
			t.Errorf("from version %d the tables are\n%s\nwant\n%s", version, got, want)
		}
	}
}

// TestNodesStartAtOnce: of nodes that find an empty database each comes up.
func TestNodesStartAtOnce(t *testing.T) {
	dsn, keys := postgres.Database(t), openKeys(t)
	var work sync.WaitGroup
	for range 5 {
		work.Go(func() {
			if err := tryOpen(t, sql.Options{DSN: dsn, Keys: keys, Connections: 2}); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
}

// TestADatabaseOfAnotherIsRefused: of a newer program, another region, another
// keyring, and one that is not what it says.
func TestADatabaseOfAnotherIsRefused(t *testing.T) {
	dsn, keys := postgres.Database(t), openKeys(t)
	if err := tryOpen(t, sql.Options{DSN: dsn, Keys: keys}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		o    sql.Options
		want string
	}{
		{"another keyring", sql.Options{DSN: dsn, Keys: openKeys(t)}, "put the right keyring back"},
		{"another region", sql.Options{DSN: dsn, Keys: keys, Region: "de1"}, "belongs to another region"},
		{"no name of a server", sql.Options{DSN: "dbname=x user=y", Keys: keys}, ""},
		{"in the clear", sql.Options{DSN: "host=db.example.com dbname=x sslmode=require", Keys: keys}, "sslmode=verify-full"},
		{"malformed", sql.Options{DSN: "postgres://u:hunter2@[", Keys: keys}, "malformed"},
	} {
		err := tryOpen(t, c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	query(t, dsn, `UPDATE domicile_records SET version = version + 1`)
	if err := tryOpen(t, sql.Options{DSN: dsn, Keys: keys}); err == nil || !strings.Contains(err.Error(), "newer program") {
		t.Errorf("a newer schema: %v", err)
	}
}

// TestASessionWaitsForItsCommits: a database whose default is not to wait is made
// to, and every kind of row has a table.
func TestASessionWaitsForItsCommits(t *testing.T) {
	dsn := postgres.Database(t)
	name := query(t, dsn, `SELECT current_database()`)[0]
	query(t, dsn, `ALTER DATABASE `+name+` SET synchronous_commit TO off`)
	if got := query(t, dsn, `SHOW synchronous_commit`)[0]; got != "off" {
		t.Fatalf("the database's default is %s: the test would show nothing", got)
	}
	got, err := sql.SessionSettings(context.Background(), dsn)
	if err != nil || got["synchronous_commit"] != "on" || got["idle_in_transaction_session_timeout"] == "0" {
		t.Errorf("sessions have %v, %v", got, err)
	}
	for _, kind := range sealed.Kinds() {
		if sql.Table(kind) == "" {
			t.Errorf("rows of kind %q have no table", kind)
		}
	}
}
