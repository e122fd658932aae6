package dataplane

import (
	"context"
	"errors"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/domicile-io/domicile/dataplane/keytable"
	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/shelf"
	"github.com/domicile-io/domicile/dataplane/store"
)

// keyTable is a region's key table as commands use it.
type keyTable interface {
	store.Keys
	Status() local.Status
}

// offlineNode is the part of a node that commands need which work on the region's
// databases while it does not run: door and databases, and no listener. The caller
// has data_dir locked.
func (c Config) offlineNode(log *slog.Logger) (*Node, error) {
	n := &Node{cfg: c.withDefaults(), log: log, registry: prometheus.NewRegistry()}
	for _, step := range []func(Options) error{n.identify, n.openDoor, n.openDatabases} {
		if err := step(Options{}); err != nil {
			return nil, errors.Join(err, n.shut(context.Background()))
		}
	}
	return n, nil
}

// offlineTable opens the key table of the region's nodes. It never makes a new one.
func (n *Node) offlineTable() (*keytable.Table, error) {
	rows, err := n.keyShelf(keysShelf)
	if err != nil {
		return nil, err
	}
	keys, err := n.openTable(rows, true)
	if err != nil {
		return nil, err
	}
	n.keys, n.keyring = keys, keys
	n.onClose("key table", func(context.Context) error { return keys.Close() })
	return keys, nil
}

// openTable opens the key table on a shelf.
func (n *Node) openTable(rows shelf.Shelf, existing bool) (*keytable.Table, error) {
	custodian, err := n.custodianOf(n.cfg.Keys)
	if err != nil {
		return nil, err
	}
	table := n.copies.of[keysShelf] // whose shelf rows is
	k := n.cfg.Keys.withDefaults()
	return keytable.Open(context.Background(), keytable.Options{Shelf: rows, Region: n.region(), Custodian: custodian, Leases: n.keyLeases(), Copy: table,
		Existing: existing, RotateEvery: k.RotateEvery, RotateSpacing: k.RotateSpacing, Logger: n.log})
}
