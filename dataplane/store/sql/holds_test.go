package sql_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/domicile-io/domicile/dataplane/store/sealed"
	"github.com/domicile-io/domicile/dataplane/store/sql"
	"github.com/domicile-io/domicile/dataplane/store/storetest"
	"github.com/domicile-io/domicile/internal/postgres"
)

// The node that places the hold shares nothing with the one that destroys but the
// database, in which it is seen to wait.
func TestINV24_AHoldWaitsForTheCommit(t *testing.T) {
	ctx := context.Background()
	dsn := postgres.Database(t)
	var nodes [2]sealed.Engine
	for n := range nodes {
		e, err := sql.OpenEngine(ctx, dsn)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { e.Close() })
		nodes[n] = e
	}
	watch, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { watch.Close(ctx) })
	storetest.HoldWaits(t, nodes[0], nodes[1], openKeys(t), func() (waiting bool) {
		if err := watch.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)").Scan(&waiting); err != nil {
			t.Error(err)
			return true
		}
		return waiting
	})
}
