package postgres_test

import (
	"context"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/domicile-io/domicile/internal/postgres"
)

func TestMain(m *testing.M) { os.Exit(postgres.Main(m)) }

func exec(t *testing.T, dsn, statement string) {
	t.Helper()
	ctx := context.Background()
	c, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	if _, err := c.Exec(ctx, statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func TestEachTestHasADatabaseOfItsOwn(t *testing.T) {
	a, b := postgres.Database(t), postgres.Database(t)
	exec(t, a, "CREATE TABLE x (n int)")
	exec(t, b, "CREATE TABLE x (n int)") // fails if it is the same
}

func TestAKilledServerComesBackWithWhatWasCommitted(t *testing.T) {
	s := postgres.Start(t)
	dsn := s.Database(t)
	exec(t, dsn, "CREATE TABLE x (n int)")
	s.Kill()
	if _, err := pgx.Connect(context.Background(), dsn); err == nil {
		t.Fatal("a killed server answers")
	}
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	exec(t, dsn, "INSERT INTO x VALUES (1)")
}
