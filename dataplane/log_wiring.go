package dataplane

import (
	"context"
	"encoding/pem"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	regionlog "github.com/domicile-io/domicile/dataplane/log"
	"github.com/domicile-io/domicile/dataplane/store"
)

// logDir holds what this node signed last of the region's log. It is in no
// backup of records: what is put back must not pass for what was signed.
const logDir = "log"

// openLog opens the region's log and begins to give entries their places.
func (n *Node) openLog(Options) error {
	l, err := regionlog.Open(regionlog.Options{Store: n.store, Keys: n.keys, Cluster: n.material.Identity.Cluster, Region: n.region(), Node: n.material.Identity.Node,
		Dir: filepath.Join(n.cfg.DataDir, logDir), Shared: n.shared != nil, Certify: n.certify, Logger: n.log, Metrics: n.registry})
	if err != nil {
		return err
	}
	n.regionLog = l
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		go n.tellOfKeys(ctx)
		l.Run(ctx)
	}()
	n.onClose("region's log", func(context.Context) error { cancel(); <-ended; return nil })
	return nil
}

// certify signs with the key of the node's certificate, and shows the certificate.
func (n *Node) certify(statement []byte) ([]byte, string, error) {
	var chain strings.Builder
	for _, der := range n.material.Certificate().Certificate {
		if err := pem.Encode(&chain, &pem.Block{Type: "CERTIFICATE", Bytes: der}); err != nil {
			return nil, "", err
		}
	}
	signature, err := n.material.SignStatement(statement)
	return signature, chain.String(), err
}

// keysEvery is how often the log is told what became of key generations. What
// happened while it could not be told is told then.
const keysEvery = 30 * time.Second

// tellOfKeys tells the region's log of each key generation that began, was
// replaced and was destroyed. They live outside the record store, so that no
// commit holds both: the keyring's own history is the intent, and whatever it
// has is noted once, also after a crash.
func (n *Node) tellOfKeys(ctx context.Context) {
	for ctx.Err() == nil {
		entries := keyEntries(n.keyring.Generations(), string(n.region()))
		for len(entries) > 0 && ctx.Err() == nil {
			some := entries[:min(len(entries), 256)]
			if err := n.store.Note(ctx, some...); err != nil {
				n.log.Warn("the region's log is not told of key generations; it is tried again", "cause", err)
				break
			}
			entries = entries[len(some):]
		}
		wait(ctx, keysEvery)
	}
}

// keyEntries is what the log is to say of generations.
func keyEntries(generations []store.KeyFate, region string) (out []store.Entry) {
	for _, g := range generations {
		for _, e := range []struct {
			verb string
			at   time.Time
		}{{"begin", g.Created}, {"retire", g.Retired}, {"destroy", g.Destroyed}} {
			if e.at.IsZero() {
				continue
			}
			out = append(out, store.Entry{Action: "key_generation." + e.verb, Resource: region, Once: fmt.Sprintf("key_generation/%d/%s", g.Generation, e.verb),
				Detail: fmt.Appendf(nil, `{"generation":%d,"time":%q}`, g.Generation, e.at.UTC().Format(time.RFC3339))})
		}
	}
	return out
}
