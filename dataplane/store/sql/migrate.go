package sql

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/domicile-io/domicile/dataplane/store/sealed"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migration is one step of the tables: a file NNNN_name.sql, which is never
// changed once it was released.
type migration struct {
	version int
	text    string
}

var migrations = mustMigrations(migrationFiles)

func mustMigrations(files fs.FS) (out []migration) {
	names, err := fs.Glob(files, "migrations/*.sql")
	if err != nil {
		panic(err)
	}
	slices.Sort(names)
	for i, name := range names {
		number, _, _ := strings.Cut(strings.TrimPrefix(name, "migrations/"), "_")
		version, err := strconv.Atoi(number)
		text, readErr := fs.ReadFile(files, name)
		if err != nil || readErr != nil || version != i+1 {
			panic("migration " + name + " is not the next number") // embedded, so that every test sees it
		}
		out = append(out, migration{version, string(text)})
	}
	return out
}

const migrateTries = 20

// migrate brings the tables up to the newest version, one transaction a step. Of
// nodes that start at once one makes each step, and the others wait. A database
// that a newer program has changed is refused.
func (e *engine) migrate(ctx context.Context, steps []migration) (err error) {
	for range migrateTries {
		if err = e.migrateOnce(ctx, steps); err == nil || !collided(err) {
			return err
		}
		time.Sleep(25 * time.Millisecond)
	}
	return err
}

// collided reports that two nodes made a table, or its row, at once.
func collided(err error) bool {
	return met(err) || isCode(err, "23505", "42P07", "42710", "XX000")
}

func (e *engine) migrateOnce(ctx context.Context, steps []migration) error {
	pool := e.turns[sealed.RewriteTurn]
	for _, statement := range []string{
		`CREATE TABLE IF NOT EXISTS domicile_records (one int PRIMARY KEY CHECK (one = 1), version int NOT NULL)`,
		`INSERT INTO domicile_records (one, version) VALUES (1, 0) ON CONFLICT (one) DO NOTHING`,
	} {
		if _, err := pool.Exec(ctx, statement); err != nil {
			return away(err)
		}
	}
	for {
		more := false
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			var version int
			if err := tx.QueryRow(ctx, `SELECT version FROM domicile_records WHERE one = 1 FOR UPDATE`).Scan(&version); err != nil {
				return err
			}
			if version > len(steps) {
				return fmt.Errorf("a newer program has brought its tables to version %d, and this one knows %d: start the newer one", version, len(steps))
			}
			if version == len(steps) {
				return nil
			}
			more = true
			if _, err := tx.Exec(ctx, steps[version].text); err != nil {
				return fmt.Errorf("bring the tables to version %d: %w", version+1, err)
			}
			_, err := tx.Exec(ctx, `UPDATE domicile_records SET version = $1 WHERE one = 1`, version+1)
			return err
		})
		if err != nil || !more {
			return away(err)
		}
	}
}
