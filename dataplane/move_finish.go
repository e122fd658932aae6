package dataplane

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"
)

// surrenderOffline destroys the key table of a node that does not run.
func surrenderOffline(ctx context.Context, cfg Config, mark *MoveMark) error {
	if cfg.shared() {
		return errors.New("give the configuration that the node had before its records moved: it says where the key table is that must be destroyed")
	}
	n, err := offlineNode(ctx, cfg)
	if err != nil {
		return err
	}
	return errors.Join(cfg.surrender(ctx, n, mark), n.shut(ctx))
}

// embedded are the files of the embedded store.
var embedded = []string{recordsDir, filepath.Join(exportsDir, "outbox.db"), filepath.Join(exportsDir, "received.db"), erasuresDir, backupScratch}

// offlineNode is a node that has its folder, its certificate and its door, and
// opens nothing else. shut ends it.
func offlineNode(ctx context.Context, cfg Config) (*Node, error) {
	n := &Node{cfg: cfg.withDefaults(), log: slog.Default().With("region", cfg.Region), registry: prometheus.NewRegistry()}
	n.moving = &moving{node: n}
	for _, step := range []func(Options) error{n.identify, n.lock, n.openDoor} {
		if err := step(Options{}); err != nil {
			return nil, errors.Join(err, n.shut(ctx))
		}
	}
	return n, nil
}

// removeEmbedded removes what the database has now. No process has it open: none
// starts on an embedded store that has moved.
func removeEmbedded(dataDir string, mark *MoveMark) error {
	for _, name := range embedded {
		if err := os.RemoveAll(filepath.Join(dataDir, name)); err != nil {
			return err
		}
	}
	mark.Removed = true
	return errors.Join(syncFolder(dataDir), mark.save(dataDir))
}
