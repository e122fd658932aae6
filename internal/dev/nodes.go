package dev

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/domicile-io/domicile/dataplane"
	"github.com/domicile-io/domicile/policy"
)

// regionNode is the running node of one region.
type regionNode struct {
	node *dataplane.Node
	log  *logFile
}

func (e *Environment) startRegion(ctx context.Context, r policy.Region) error {
	name := string(r.ID)
	log, err := openLog(e.opts.Dir, name)
	if err != nil {
		return err
	}
	node, err := dataplane.Open(ctx, e.nodeConfig(r), dataplane.Options{Logger: log.logger})
	if err != nil {
		return errors.Join(fmt.Errorf("start region %s: %w", name, err), log.close())
	}
	e.mu.Lock()
	e.nodes[name] = &regionNode{node: node, log: log}
	e.mu.Unlock()
	return nil
}

func (e *Environment) nodeConfig(r policy.Region) dataplane.Config {
	name := string(r.ID)
	c := dataplane.Config{
		Region: name, DataDir: filepath.Join(e.opts.Dir, name), TLS: e.pki.region[name],
		ListenAddress: e.ports.address(name), Hosts: []string{"127.0.0.1", "localhost"},
		IngestAddress: e.ports.address(name + "-ingest"), PeerAddress: e.ports.address(name + "-peer"), OpsAddress: e.ports.address(name + "-ops"),
		RootPublicKey: hex.EncodeToString(e.pki.rootPublic), BaseURLs: e.baseURLs(), Peers: map[string]dataplane.Peer{},
		IngestAddresses: map[string]string{}, DefaultCountry: r.Country, ExportInterval: e.opts.ExportInterval, ExportWindow: e.opts.ExportWindow,
		ControlPlane: e.voterAddresses(),
		DiskReserve:  -1, // three regions share a developer's disk
	}
	for _, other := range e.places {
		c.IngestAddresses[string(other.ID)] = e.ports.address(string(other.ID) + "-ingest")
		if other.ID != r.ID {
			c.Peers[string(other.ID)] = dataplane.Peer{Address: e.ports.address(string(other.ID) + "-peer"), Boundary: string(other.Boundary)}
		}
	}
	return c
}

func (n *regionNode) close(ctx context.Context, name string) error {
	if err := errors.Join(n.node.Close(ctx), n.log.close()); err != nil {
		return fmt.Errorf("stop region %s: %w", name, err)
	}
	return nil
}
