package dataplane

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/domicile-io/domicile/dataplane/hsm"
	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/shelf"
)

// A key table and the records under its keys are in two databases. The records'
// one remembers which key table it belongs to.
const (
	keysShelf               = "keys"
	linkShelf               = "link"
	linkName                = "database/link" // named key
	bucketLink shelf.Bucket = "link"
)

var linkKey = []byte("key_table")

// openKeyTable opens the key table that the nodes of the region share.
func (n *Node) openKeyTable() error {
	link, err := n.recordShelf(linkShelf)
	if err != nil {
		return err
	}
	known, err := linked(link)
	if err == nil {
		err = link.View(checkWhole)
	}
	if err == nil {
		err = n.openMoved(link)
	}
	if err != nil {
		return err
	}
	rows, err := n.keyShelf(keysShelf)
	if err != nil {
		return err
	}
	keys, err := n.openTable(rows, known != nil)
	if err != nil {
		return err
	}
	n.keys, n.keyring = keys, keys
	n.onClose("key table", func(context.Context) error { return keys.Close() })
	if err := n.noteMovedKeys(rows); err != nil { // a table that has a copy changes once that is begun
		return err
	}
	if err := n.registry.Register(keys.Collector()); err != nil {
		return err
	}
	return n.link(link)
}

// custodianOf makes the custodian of a key table that nodes share.
func (n *Node) custodianOf(k KeysConfig) (local.Custodian, error) {
	cluster := n.material.Identity.Cluster
	switch {
	case k.AWSKMS != nil:
		return openKMS(*k.AWSKMS, n.door, cluster, n.region())
	case k.PKCS11 != nil:
		return hsm.Open(hsm.Options{Config: *k.PKCS11, Cluster: cluster, Region: n.region()})
	}
	return &local.SharedRoot{Path: k.RootFile, Region: n.region()}, nil
}

func linked(s shelf.Shelf) (to []byte, err error) {
	err = s.View(func(tx shelf.Tx) error {
		found, err := tx.Get(bucketLink, linkKey)
		to = found
		return err
	})
	return to, err
}

// link notes in the records' database which key table it belongs to, or makes
// sure that it is this one.
func (n *Node) link(s shelf.Shelf) error {
	secret, err := n.keys.Named(linkName)
	if err != nil {
		return fmt.Errorf("link the databases: %w", err)
	}
	sum := linkTo(secret)
	return s.Update(func(tx shelf.Tx) error {
		if err := checkWhole(tx); err != nil {
			return err
		}
		found, err := tx.Get(bucketLink, linkKey)
		if err != nil || found == nil {
			return errors.Join(err, tx.Put(bucketLink, linkKey, sum[:]))
		}
		if subtle.ConstantTimeCompare(found, sum[:]) != 1 {
			return errors.New("keys.database holds another key table than the one that these records were sealed by; put that one back")
		}
		return nil
	})
}

func linkTo(secret [32]byte) [32]byte { return sha256.Sum256(secret[:]) }
