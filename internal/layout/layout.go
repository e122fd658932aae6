// Package layout lays a whole Domicile out in one folder: certificates, the
// operator's root, the bundle key, ports, and one strict configuration per
// voter and per region. `domicile dev` opens the configurations in its own
// process; the system tests and the benchmark write them down and start the
// real binaries.
//
//	DIR/cluster.json             ids and ports of the first start, kept
//	DIR/pki/                     authority, operator root, operator token (0600)
//	DIR/controlplane/<voter>/    one voter each, with tls/ and gateway/
//	DIR/<region>/                one region each, with tls/
package layout

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/domicile-io/domicile/controlplane"
	"github.com/domicile-io/domicile/dataplane"
	"github.com/domicile-io/domicile/policy"
	"github.com/domicile-io/domicile/regions"
)

// formatVersion is the format of cluster.json; others are refused.
const formatVersion = 1

// Options of Prepare. Dir and Regions are required.
type Options struct {
	Dir            string
	Voters         int               // 1, 3 or 5; 0 is 3
	Regions        []policy.RegionID // of the built-in catalogue
	ExportInterval time.Duration     // 0: the node's default
	ExportWindow   time.Duration     // 0: the node's default
}

// Layout is a prepared system that nothing runs of yet.
type Layout struct {
	Dir     string
	Cluster string // CL…
	Token   string // the first operator's bearer token
	CA      string // file: what clients trust
	Voters  []controlplane.Config
	Regions []dataplane.Config
}

// state is what is kept between starts.
type state struct {
	Format  int                      `json:"format"`
	Cluster string                   `json:"cluster"`
	Nodes   map[string]policy.NodeID `json:"nodes"` // by listener owner: "cp1", "ie1", …
	Ports   map[string]int           `json:"ports"` // by listener: "cp1 rest", "ie1 tenants", …
}

// Prepare makes what is missing below o.Dir and loads what is there. Asked
// again it gives the same ids, ports, keys and token.
func Prepare(o Options) (*Layout, error) {
	if o.Voters == 0 {
		o.Voters = 3
	}
	catalogue, err := regions.Builtin()
	if err != nil {
		return nil, fmt.Errorf("built-in catalogue: %w", err)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	s, err := loadState(o)
	if err != nil {
		return nil, err
	}
	b := builder{o: o, state: s, catalogue: catalogue}
	l, err := b.build()
	if err != nil {
		return nil, err
	}
	return l, b.save()
}

func loadState(o Options) (*state, error) {
	path := filepath.Join(o.Dir, "cluster.json")
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newState(o)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	var s state
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, fmt.Errorf("parse %s: %w; delete the data folder to begin anew", path, err)
	}
	if s.Format != formatVersion {
		return nil, fmt.Errorf("%s has format %d, this build reads %d: start the version that wrote it, or delete the data folder to begin anew", path, s.Format, formatVersion)
	}
	return &s, nil
}

func newState(o Options) (*state, error) {
	cluster, err := newID(policy.KindCluster)
	if err != nil {
		return nil, err
	}
	return &state{Format: formatVersion, Cluster: cluster, Nodes: map[string]policy.NodeID{}, Ports: map[string]int{}}, nil
}

func (b *builder) save() error {
	raw, err := json.MarshalIndent(b.state, "", "  ")
	if err != nil {
		return fmt.Errorf("encode cluster.json: %w", err)
	}
	return writeAtomic(filepath.Join(b.o.Dir, "cluster.json"), raw, 0o600)
}

// address gives a listener its port of the first start, or a free one.
func (b *builder) address(listener string) (string, error) {
	if b.state.Ports[listener] == 0 {
		port, err := freePort(b.state.Ports)
		if err != nil {
			return "", err
		}
		b.state.Ports[listener] = port
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(b.state.Ports[listener])), nil
}

// freePort asks the kernel for a port that no listener of ours has.
func freePort(taken map[string]int) (int, error) {
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, fmt.Errorf("find a free port: %w", err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		if err := l.Close(); err != nil {
			return 0, fmt.Errorf("find a free port: %w", err)
		}
		free := true
		for _, p := range taken {
			free = free && p != port
		}
		if free {
			return port, nil
		}
	}
}

// CheckPorts reports the first listener whose port somebody else has.
func (l *Layout) CheckPorts() error {
	for listener, address := range l.addresses() {
		ln, err := net.Listen("tcp", address)
		if err != nil {
			return fmt.Errorf("the port of %s, %s, is taken: stop what uses it, or edit its number in %s and start again",
				listener, address, filepath.Join(l.Dir, "cluster.json"))
		}
		if err := ln.Close(); err != nil {
			return fmt.Errorf("probe the port of %s: %w", listener, err)
		}
	}
	return nil
}

func (l *Layout) addresses() map[string]string {
	out := map[string]string{}
	for _, v := range l.Voters {
		out[v.Name+" rest"], out[v.Name+" grpc"], out[v.Name+" raft"], out[v.Name+" ops"] = v.RESTAddress, v.GRPCAddress, v.RaftAddress, v.OpsAddress
	}
	for _, r := range l.Regions {
		out[r.Region+" tenants"], out[r.Region+" peers"], out[r.Region+" ops"] = r.ListenAddress, r.PeerAddress, r.OpsAddress
	}
	return out
}
