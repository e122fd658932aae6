package dataplane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// AdminSocket is the name, below data_dir, of the socket by which the node's own
// user administers it. Whoever may open data_dir may use it; it is on no network.
const AdminSocket = "admin.sock"

const (
	maxSocketPath = 100 // of the 108 bytes that the kernel takes
	adminTimeout  = 10 * time.Second
)

// openAdmin serves the verbs of `domicile-dataplane keys`, `backup` and `region`.
func (n *Node) openAdmin(Options) error {
	path := filepath.Join(n.cfg.DataDir, AdminSocket)
	if len(path) > maxSocketPath {
		n.log.Warn("data_dir's path is too long for a socket: keys status, keys rotate and backup do not work on this node", "most", maxSocketPath-len(AdminSocket)-1)
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("open %s: %w", path, err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return errors.Join(fmt.Errorf("open %s: %w", path, err), l.Close())
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) { n.keysStatus(w, nil) })
	mux.HandleFunc("POST /keys:rotate", func(w http.ResponseWriter, r *http.Request) {
		n.keysStatus(w, n.keyring.Rotate(context.WithoutCancel(r.Context()))) // whoever asked may leave; half a rotation is of no use
	})
	base, cancel := context.WithCancel(context.Background())
	n.backupRoutes(mux)
	n.logRoutes(mux)
	n.moveRoutes(mux)
	n.holdRoutes(mux)
	srv := &http.Server{Handler: mux, ReadTimeout: adminTimeout, BaseContext: func(net.Listener) context.Context { return base }}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	n.onClose("administration socket", func(ctx context.Context) error {
		cancel() // a backup that was asked for stops
		err := srv.Shutdown(ctx)
		if served := <-done; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return err
	})
	return nil
}

// keysStatus answers with the keyring's status, 503 and an error where there is one.
func (n *Node) keysStatus(w http.ResponseWriter, failed error) {
	answer := struct {
		Error  string `json:"error,omitempty"`
		Status any    `json:"status"`
	}{Status: n.keyring.Status()}
	w.Header().Set("Content-Type", "application/json")
	if failed != nil {
		answer.Error = failed.Error()
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(answer)
}
