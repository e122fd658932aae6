package system

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane"
	"github.com/domicile-io/domicile/dataplane/move"
	"github.com/domicile-io/domicile/internal/postgres"
)

// mark is what the node's data_dir says of its move.
func (m *removal) mark() (out dataplane.MoveMark) {
	m.t.Helper()
	raw, err := os.ReadFile(filepath.Join(m.data, "move.json"))
	if errors.Is(err, os.ErrNotExist) {
		return out
	}
	check(m.t, err)
	check(m.t, json.Unmarshal(raw, &out))
	return out
}

// at waits until a running move is so far.
func (m *removal) at(ctx context.Context, what string, so func(s *move.Status) bool) {
	m.t.Helper()
	until(m.t, 90*time.Second, what, func() error {
		s, errs, _ := m.move(ctx, "status")
		if s.Move == nil || !so(s.Move) {
			return fmt.Errorf("%+v %+v %s", s, s.Move, errs)
		}
		return nil
	})
}

// behind starts a move and does not wait for it.
func (m *removal) behind(ctx context.Context, args ...string) (ended chan struct{}) {
	ended = make(chan struct{})
	go func() {
		defer close(ended)
		m.move(ctx, "start", append(args, "--to", m.next)...)
	}()
	return ended
}

// The node is killed, and so is the database, in each phase of a move, which is
// also given up once; under load. What was acknowledged is there once.
func TestINV33_KillsInEachPhaseOfAMoveLoseNothing(t *testing.T) {
	if os.Getenv("DOMICILE_MIGRATE_KILLS") == "" {
		t.Skip("the long form of the kills of a move: `make migrate-kills`; dataplane/move cuts it short in each step")
	}
	server := postgres.Start(t)
	m := openRemoval(t, func() string { return server.Database(t) })
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	m.writers(ctx, 2)
	m.more(20)
	kill := func() {
		check(t, m.c.Process("ie1").Kill())
		m.begin(ctx)
		if s := m.must(ctx, "status"); s.Runs || s.State != dataplane.MoveBegun {
			t.Errorf("after a kill: %+v", s)
		}
		m.more(1)
	}

	slow := m.behind(ctx, "--rate", "64KiB") // so that there is a moment to kill it in
	m.at(ctx, "copying", func(s *move.Status) bool { return s.Phase == move.Copying && s.Rows > 0 })
	m.measures("domicile_store_move_running 1")
	kill()
	<-slow
	m.measures("domicile_store_move_running 0")
	compared := false
	for try := 0; try < 5 && !compared; try++ { // it may be faster than we look
		slow = m.behind(ctx, "--hold")
		m.at(ctx, "comparing", func(s *move.Status) bool {
			compared = s.Phase == move.Comparing
			return compared || s.Phase == move.Following
		})
		kill()
		<-slow
	}
	if !compared {
		t.Error("no kill came while rows were compared")
	}
	slow = m.behind(ctx, "--hold")
	m.at(ctx, "whole", func(s *move.Status) bool { return s.Phase == move.Following })
	<-slow
	kill()

	slow = m.behind(ctx, "--rate", "64KiB")
	m.at(ctx, "copying", func(s *move.Status) bool { return s.Phase == move.Copying && s.Rows > 0 })
	server.Kill()
	m.at(ctx, "the database is missed", func(s *move.Status) bool { return s.Problem != "" })
	m.more(1) // the region goes on without it
	check(t, server.Restart())
	m.at(ctx, "the database is back", func(s *move.Status) bool { return s.Problem == "" })
	m.must(ctx, "stop")
	<-slow

	m.must(ctx, "abort")
	if s := m.must(ctx, "status"); s.State != "" {
		t.Errorf("after abort: %+v", s)
	}
	m.must(ctx, "check", "--to", m.next) // both databases are empty
	m.more(1)

	m.killedAtTheEnd(ctx)
	m.more(1)
	m.settled(ctx)
}

// measures waits until the node's metrics have a line.
func (m *removal) measures(line string) {
	m.t.Helper()
	until(m.t, 30*time.Second, line, func() error {
		resp, err := http.Get(m.c.Env.OpsURL("ie1") + "/metrics")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		raw, err := io.ReadAll(resp.Body)
		if err != nil || !strings.Contains(string(raw), line+"\n") {
			return fmt.Errorf("it is not there; %v", err)
		}
		return nil
	})
}

// killedAtTheEnd kills the node when writers pause, until a move is done or was
// faster; whichever it was, one of both configurations serves.
func (m *removal) killedAtTheEnd(ctx context.Context) {
	m.t.Helper()
	for try := range 3 {
		ended := m.behind(ctx, "--hold")
		m.at(ctx, "whole", func(s *move.Status) bool { return s.Phase == move.Following })
		<-ended
		asked := make(chan struct{})
		go func() {
			defer close(asked)
			m.move(ctx, "switch")
		}()
		if try < 2 {
			until(m.t, 60*time.Second, "the pause", func() error {
				s, _, _ := m.move(ctx, "status")
				if s.State != dataplane.MoveDone && (s.Move == nil || s.Move.Phase != move.Pausing) {
					return errors.New("it has not begun")
				}
				return nil
			})
			err := m.c.Process("ie1").Kill()
			if errors.Is(err, os.ErrProcessDone) { // the move was faster
				_, err = m.c.Process("ie1").WaitEnd(ctx)
			}
			check(m.t, err)
		} else {
			_, err := m.c.Process("ie1").WaitEnd(ctx)
			check(m.t, err)
		}
		<-asked
		mark := m.mark()
		if mark.State == dataplane.MoveDone {
			m.refusedWith(ctx, m.c.Process("ie1").Config(), "store.kind: sql")
			m.must(ctx, "finish") // of a node that was killed before it had destroyed its keys
			m.adopt(ctx)
			return
		}
		m.refusedWith(ctx, m.next, "migrate-store")
		m.begin(ctx)
		m.t.Logf("try %d: killed before the database was the region's", try)
	}
	m.t.Fatal("no move came to its end")
}
