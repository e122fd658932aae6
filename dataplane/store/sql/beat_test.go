package sql_test

import (
	"bytes"
	"context"
	"runtime/pprof"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/store/sealed"
	"github.com/domicile-io/domicile/dataplane/store/sql"
	"github.com/domicile-io/domicile/internal/postgres"
)

// A long turn that ends leaves nothing behind that beats for it, also when it ends
// before the first beat is waited for.
func TestALongTurnEndsWithItsBeat(t *testing.T) {
	e, err := sql.OpenEngine(context.Background(), postgres.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	for range 50 {
		turn, err := e.Begin([16]byte{1}, sealed.RewriteTurn)
		if err != nil {
			t.Fatal(err)
		}
		turn.End()
		turn.End() // of a release that is deferred beside one that was called
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		var stacks bytes.Buffer
		if err := pprof.Lookup("goroutine").WriteTo(&stacks, 2); err != nil {
			t.Fatal(err)
		}
		beating := bytes.Count(stacks.Bytes(), []byte("(*turn).beat("))
		if beating == 0 {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%d of 50 turns that have ended are still beaten for", beating)
		case <-tick.C:
		}
	}
}
