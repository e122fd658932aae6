package dev

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/domicile-io/domicile/api/bundle"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// pki is everything secret of an environment. Where an operator would keep the
// root offline, dev keeps it beside the rest: it signs nothing after the start.
type pki struct {
	dir      string
	identity identities
	token    string // operator's bearer token
	officer  string // security officer's

	generation uint64 // of the one-time token that the voters are to write; 0 the first

	rootPublic ed25519.PublicKey
	bundleKey  string // file
	bundleCert string // file

	control map[string]mtls.Files // voter → certificate of role cp
	gateway map[string]mtls.Files // voter → certificate of role gw
	region  map[string]mtls.Files // region → certificate of role dp
}

// identities are the ids that must survive restarts.
type identities struct {
	Cluster string                   `json:"cluster"`
	Nodes   map[string]policy.NodeID `json:"nodes"` // "cp1", "cp1-gateway", "ie1"
}

// openPKI reads what dir holds and makes what is missing. Certificates are
// issued anew at each start, so that they never run out.
func openPKI(dir string, voters, regions, second []string) (*pki, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the PKI folder: %w", err)
	}
	p := &pki{dir: dir, bundleKey: filepath.Join(dir, "bundle.key"), bundleCert: filepath.Join(dir, "bundle.cert"),
		control: map[string]mtls.Files{}, gateway: map[string]mtls.Files{}, region: map[string]mtls.Files{}}
	if err := p.openIdentities(voters, regions, second); err != nil {
		return nil, err
	}
	if err := p.openTokens(); err != nil {
		return nil, err
	}
	if err := p.openKeys(); err != nil {
		return nil, err
	}
	return p, p.issue(voters, regions, second)
}

func (p *pki) openIdentities(voters, regions, second []string) error {
	path := filepath.Join(p.dir, "identities.json")
	raw, err := os.ReadFile(path)
	if err == nil {
		if err := json.Unmarshal(raw, &p.identity); err != nil {
			return fmt.Errorf("read %s: %w; choose another --data-dir to start anew", path, err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read identities: %w", err)
	}
	if p.identity.Cluster == "" {
		if p.identity.Cluster, err = policy.NewID(policy.KindCluster, rand.Reader); err != nil {
			return err
		}
	}
	if p.identity.Nodes == nil {
		p.identity.Nodes = map[string]policy.NodeID{}
	}
	names := append([]string(nil), regions...)
	for _, r := range second {
		names = append(names, SecondName(r))
	}
	for _, v := range voters {
		names = append(names, v, v+"-gateway")
	}
	for _, name := range names {
		if p.identity.Nodes[name] != "" {
			continue
		}
		id, err := policy.NewID(policy.KindNode, rand.Reader)
		if err != nil {
			return err
		}
		p.identity.Nodes[name] = policy.NodeID(id)
	}
	if raw, err = json.MarshalIndent(p.identity, "", "  "); err != nil {
		return fmt.Errorf("encode identities: %w", err)
	}
	return writeAtomically(path, append(raw, '\n'))
}

// openKeys opens the operator root and the bundle key, and certifies the second by the first.
func (p *pki) openKeys() error {
	rootSeed, err := secretFile(filepath.Join(p.dir, "root.key"))
	if err != nil {
		return err
	}
	bundleSeed, err := secretFile(p.bundleKey)
	if err != nil {
		return err
	}
	root, err := keyOf(rootSeed)
	if err != nil {
		return fmt.Errorf("root.key: %w", err)
	}
	key, err := keyOf(bundleSeed)
	if err != nil {
		return fmt.Errorf("bundle.key: %w", err)
	}
	p.rootPublic = root.Public().(ed25519.PublicKey)
	if err := writeAtomically(filepath.Join(p.dir, "root.pub"), []byte(hex.EncodeToString(p.rootPublic)+"\n")); err != nil { // what whoever signs pins
		return err
	}
	cert := bundle.CertifyKey(root, p.identity.Cluster, key.Public().(ed25519.PublicKey))
	return writeAtomically(p.bundleCert, []byte(hex.EncodeToString(cert)+"\n"))
}

func keyOf(seed string) (ed25519.PrivateKey, error) {
	raw, err := hex.DecodeString(seed)
	if err != nil || len(raw) != ed25519.SeedSize {
		return nil, fmt.Errorf("want %d hex digits", 2*ed25519.SeedSize)
	}
	return ed25519.NewKeyFromSeed(raw), nil
}

// secretFile reads 32 bytes in hex, or draws and writes them, mode 0600.
func secretFile(path string) (string, error) {
	raw, err := os.ReadFile(path)
	if err == nil {
		if len(raw) < 64 {
			return "", fmt.Errorf("%s is damaged: want 64 hex digits; choose another --data-dir to start anew", path)
		}
		return string(raw[:64]), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read secret: %w", err)
	}
	text, err := drawSecret()
	if err != nil {
		return "", err
	}
	return text, writeAtomically(path, []byte(text+"\n"))
}

// drawSecret draws 32 random bytes, in hex.
func drawSecret() (string, error) {
	var secret [32]byte
	if _, err := io.ReadFull(rand.Reader, secret[:]); err != nil {
		return "", fmt.Errorf("draw a secret: %w", err)
	}
	return hex.EncodeToString(secret[:]), nil
}

func (p *pki) issue(voters, regions, second []string) error {
	if err := mtls.KeepPKI(p.dir, p.identity.Cluster); err != nil {
		return err
	}
	ca, err := mtls.OpenAuthority(p.dir)
	if err != nil {
		return err
	}
	one := func(into map[string]mtls.Files, name, holder string, region policy.RegionID, role mtls.Role) error {
		id := mtls.Identity{Cluster: p.identity.Cluster, Region: region, Role: role, Node: p.identity.Nodes[holder]}
		files, err := ca.Issue(filepath.Join(p.dir, holder), id, "127.0.0.1", "localhost")
		into[name] = files
		return err
	}
	for _, v := range voters {
		if err := one(p.control, v, v, mtls.ControlRegion, mtls.ControlPlane); err != nil {
			return err
		}
		if err := one(p.gateway, v, v+"-gateway", mtls.ControlRegion, mtls.Gateway); err != nil {
			return err
		}
	}
	for _, r := range regions {
		if err := one(p.region, r, r, policy.RegionID(r), mtls.DataPlane); err != nil {
			return err
		}
	}
	for _, r := range second {
		if err := one(p.region, SecondName(r), SecondName(r), policy.RegionID(r), mtls.DataPlane); err != nil {
			return err
		}
	}
	return nil
}
