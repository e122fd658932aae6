package dataplane

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// MoveAnswer is one line of what the socket answers to `region migrate-store`.
// The last has Done, or an error.
type MoveAnswer struct {
	Status *MoveStatus `json:"status,omitempty"`
	Done   bool        `json:"done,omitempty"`
	Error  string      `json:"error,omitempty"`
}

// moveRoutes are the verbs of `domicile-dataplane region migrate-store`.
func (n *Node) moveRoutes(mux *http.ServeMux) {
	m := n.moving
	mux.HandleFunc("GET /region/move", moveAnswered(func(*http.Request) (MoveStatus, error) { return m.status() }))
	mux.HandleFunc("POST /region/move:check", moveAnswered(func(r *http.Request) (MoveStatus, error) {
		t, mark, err := m.check(r.Context(), moveOptions(r))
		if err != nil {
			return MoveStatus{}, err
		}
		return MoveStatus{To: mark.To}, errors.Join(t.free(mark.ID), t.close())
	}))
	mux.HandleFunc("POST /region/move:start", m.followed(func(r *http.Request) error { return m.begin(r.Context(), moveOptions(r)) }, true))
	mux.HandleFunc("POST /region/move:switch", m.followed(func(*http.Request) error { return m.goOn() }, false))
	mux.HandleFunc("POST /region/move:watch", m.followed(func(*http.Request) error { return nil }, true))
	mux.HandleFunc("POST /region/move:stop", moveAnswered(func(*http.Request) (MoveStatus, error) { m.interrupt(); return m.status() }))
	mux.HandleFunc("POST /region/move:abort", moveAnswered(func(r *http.Request) (MoveStatus, error) {
		return MoveStatus{}, m.abort(context.WithoutCancel(r.Context())) // half an abort is of no use
	}))
}

func markExists(dataDir string) bool {
	mark, err := readMove(dataDir)
	return err == nil && mark != nil
}

func moveOptions(r *http.Request) MoveOptions {
	o := MoveOptions{To: r.FormValue("to"), Hold: r.FormValue("hold") == "true", Full: r.FormValue("full") == "true"}
	o.Rate, _ = strconv.ParseInt(r.FormValue("rate"), 10, 64) // the command has checked them; malformed is none
	o.MaxPause, _ = time.ParseDuration(r.FormValue("max_pause"))
	return o
}

func (m *moving) goOn() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.job == nil {
		return errors.New("no move runs: `start` it")
	}
	m.job.Switch()
	return nil
}

func moveAnswered(do func(*http.Request) (MoveStatus, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		s, err := do(r)
		a := MoveAnswer{Status: &s, Done: true}
		if err != nil {
			a.Error = err.Error()
		}
		_ = json.NewEncoder(w).Encode(a)
	}
}

// followed does something and then shows the job until it ends, or until it waits
// for switch and whoever asked is not waiting for that. Whoever asked may leave:
// the job goes on.
func (m *moving) followed(do func(*http.Request) error, untilHeld bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		out, enc := http.NewResponseController(w), json.NewEncoder(w)
		if err := do(r); err != nil {
			_ = enc.Encode(MoveAnswer{Error: err.Error()})
			return
		}
		hold := untilHeld && moveOptions(r).Hold
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for last := false; ; {
			s, err := m.status()
			a := MoveAnswer{Status: &s, Error: s.Error}
			if err != nil {
				a.Error = err.Error()
			}
			a.Done = !s.Runs || hold && s.Move != nil && s.Move.Phase == "following"
			if enc.Encode(a) != nil || out.Flush() != nil || a.Done || last {
				return
			}
			select {
			case <-r.Context().Done(): // the node may end, because the move is done
				last = true
			case <-tick.C:
			}
		}
	}
}
