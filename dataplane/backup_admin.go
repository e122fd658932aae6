package dataplane

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/domicile-io/domicile/dataplane/backup"
)

// progressEvery bounds how often progress is told.
const progressEvery = 200 * time.Millisecond

// BackupAnswer is one line of what the socket answers to `backup`: progress
// lines, then one with a result or an error, or both.
type BackupAnswer struct {
	Progress *backup.Step    `json:"progress,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
	Error    string          `json:"error,omitempty"`
}

// backupRoutes are the verbs of `domicile-dataplane backup`.
func (n *Node) backupRoutes(mux *http.ServeMux) {
	b := n.backups
	mux.HandleFunc("GET /backup", answered(func(ctx context.Context, _ *http.Request, _ backup.Progress) (any, error) { return b.list(ctx) }))
	mux.HandleFunc("POST /backup:create", answered(func(ctx context.Context, r *http.Request, tell backup.Progress) (any, error) {
		return b.create(ctx, backup.CreateOptions{Full: r.FormValue("full") == "true", Progress: tell})
	}))
	mux.HandleFunc("POST /backup:verify", answered(func(ctx context.Context, r *http.Request, tell backup.Progress) (any, error) {
		return b.verify(ctx, r.FormValue("snapshot"), tell)
	}))
	mux.HandleFunc("POST /backup:prune", answered(func(ctx context.Context, r *http.Request, _ backup.Progress) (any, error) {
		keep, err := strconv.Atoi(r.FormValue("keep"))
		if err != nil {
			return nil, err
		}
		return b.prune(ctx, keep, r.FormValue("dry_run") == "true")
	}))
}

// answered streams an answer. Whoever asked may leave: then the work ends.
func answered(do func(context.Context, *http.Request, backup.Progress) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		out := http.NewResponseController(w)
		enc := json.NewEncoder(w)
		var mu sync.Mutex
		var last time.Time
		result, err := do(r.Context(), r, func(s backup.Step) {
			mu.Lock()
			defer mu.Unlock()
			if time.Since(last) < progressEvery && s.Done < s.Of {
				return
			}
			last = time.Now()
			_ = enc.Encode(BackupAnswer{Progress: &s})
			_ = out.Flush()
		})
		a := BackupAnswer{}
		if err != nil {
			a.Error = err.Error()
		}
		if raw, encodeErr := json.Marshal(result); encodeErr == nil {
			a.Result = raw
		}
		_ = enc.Encode(a)
	}
}
