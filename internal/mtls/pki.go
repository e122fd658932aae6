package mtls

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/domicile-io/domicile/policy"
)

// PKI is an operator's folder of authorities for one cluster. One of them is
// active and signs; the bundle that nodes get holds every trusted one. An
// authority is replaced in three steps, with every node's files rotated after
// each, so that at no moment two nodes of the cluster distrust each other:
//
//	Prepare   the next authority is trusted beside the active one
//	Activate  the next one signs, the former one is still trusted
//	Retire    the former one is trusted no longer
type PKI struct {
	dir   string
	state pkiState
}

// pkiState is pki.json, the one file whose replacement is a step.
type pkiState struct {
	Cluster string `json:"cluster"`
	Active  int    `json:"active"`         // number of the authority that signs
	Next    int    `json:"next,omitempty"` // prepared, not yet signing
	Former  int    `json:"former,omitempty"`
}

const pkiFile = "pki.json"

// LeafValidFor is how long a certificate is valid that [PKI.Issue] was told no time for.
const LeafValidFor = 90 * 24 * time.Hour

// InitPKI makes an authority for a cluster in dir. It refuses a folder that
// holds one.
func InitPKI(dir, cluster string) (*PKI, error) {
	if !policy.ValidID(policy.KindCluster, cluster) {
		return nil, errors.New("cluster id must be CL and 32 lower-case hex digits")
	}
	for _, name := range []string{pkiFile, authorityCert, authorityKey} {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s is already there; nothing is overwritten: issue from it with `domicile pki issue --dir %s`, or choose another --dir", filepath.Join(dir, name), dir)
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the authority's folder: %w", err)
	}
	p := &PKI{dir: dir, state: pkiState{Cluster: cluster, Active: 1}}
	if err := p.create(1); err != nil {
		return nil, err
	}
	return p, p.save()
}

// OpenPKI opens a folder that [InitPKI] made. It refuses keys that others may read.
func OpenPKI(dir string) (*PKI, error) {
	raw, err := os.ReadFile(filepath.Join(dir, pkiFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s holds no authority; make one with `domicile pki init --dir %s`, or name its folder with --dir", dir, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("read the authority's state: %w", err)
	}
	p := &PKI{dir: dir}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&p.state); err != nil || p.state.Active < 1 || !policy.ValidID(policy.KindCluster, p.state.Cluster) {
		return nil, fmt.Errorf("%s is damaged; restore the folder from your backup", filepath.Join(dir, pkiFile))
	}
	for _, n := range p.trusted() {
		info, err := os.Stat(p.keyPath(n))
		if err != nil {
			return nil, fmt.Errorf("look at the authority's key: %w; restore the folder from your backup", err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			return nil, fmt.Errorf("%s may be read by others; `chmod 600 %s`, and rotate the authority if anybody else has an account here", p.keyPath(n), p.keyPath(n))
		}
	}
	return p, nil
}

// Cluster is the id of the cluster, CL….
func (p *PKI) Cluster() string { return p.state.Cluster }

// Bundle is the path of the PEM file with every trusted authority: what
// clients of the cluster trust.
func (p *PKI) Bundle() string { return filepath.Join(p.dir, authorityCert) }

// Step is the place in an authority's rotation, in one word, and what comes next.
func (p *PKI) Step() (state, next string) {
	switch {
	case p.state.Next != 0:
		return "prepared", "rotate every node's files, then `domicile pki rotate --authority activate`"
	case p.state.Former != 0:
		return "activated", "rotate every node's files, then `domicile pki rotate --authority retire`"
	}
	return "steady", ""
}

// Prepare makes the next authority and puts it into the bundle.
func (p *PKI) Prepare() error {
	if state, next := p.Step(); state != "steady" {
		return fmt.Errorf("a rotation of the authority is under way (%s); first %s", state, next)
	}
	next := p.state.Active + 1
	if err := p.create(next); err != nil {
		return err
	}
	p.state.Next = next
	return p.save()
}

// Activate lets the prepared authority sign. Every node must have the bundle
// that Prepare made, or it will refuse what is issued from now on.
func (p *PKI) Activate() error {
	if p.state.Next == 0 {
		return errors.New("no authority is prepared; begin with `domicile pki rotate --authority prepare`")
	}
	p.state = pkiState{Cluster: p.state.Cluster, Active: p.state.Next, Former: p.state.Active}
	return p.save()
}

// Retire takes the former authority out of the bundle and destroys its key.
// Every node must have a certificate of the active one, or it will be refused
// wherever the new bundle is.
func (p *PKI) Retire() error {
	if p.state.Former == 0 {
		return errors.New("no former authority is trusted; there is nothing to retire")
	}
	gone := p.state.Former
	p.state.Former = 0
	if err := p.save(); err != nil {
		return err
	}
	if err := os.Remove(p.keyPath(gone)); err != nil {
		return fmt.Errorf("destroy the former authority's key: %w; remove it by hand", err)
	}
	return nil
}

// Order is what a certificate is to say.
type Order struct {
	Identity Identity // of this PKI's cluster
	Hosts    []string // DNS names and IP addresses of its listeners
	ValidFor time.Duration
}

// Issue writes cert.pem, key.pem and ca.pem into dir. It refuses a folder that
// has one of them.
func (p *PKI) Issue(dir string, o Order) (Files, error) {
	f := FilesIn(dir)
	for _, path := range []string{f.Certificate, f.Key, f.CA} {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return Files{}, fmt.Errorf("%s is already there; nothing is overwritten: renew it with `domicile pki rotate %s`, or choose another --out", path, dir)
		}
	}
	if _, err := ParseURI(o.Identity.URI()); err != nil {
		return Files{}, err
	}
	if o.Identity.Cluster != p.state.Cluster {
		return Files{}, fmt.Errorf("this authority is of cluster %s and issues for no other", p.state.Cluster)
	}
	return p.write(dir, o)
}

// Reissue replaces the files that Issue wrote into dir: a new key, the same
// identity and hosts, the bundle of now. A running process follows without a
// restart.
func (p *PKI) Reissue(dir string, valid time.Duration) (*x509.Certificate, error) {
	old, err := ReadLeaf(FilesIn(dir).Certificate)
	if err != nil {
		return nil, err
	}
	id, err := Of(old)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	if id.Cluster != p.state.Cluster {
		return nil, fmt.Errorf("%s holds a certificate of cluster %s, but this authority is of %s; name the right --dir", dir, id.Cluster, p.state.Cluster)
	}
	hosts := append([]string(nil), old.DNSNames...)
	for _, ip := range old.IPAddresses {
		hosts = append(hosts, ip.String())
	}
	f, err := p.write(dir, Order{Identity: id, Hosts: hosts, ValidFor: valid})
	if err != nil {
		return nil, err
	}
	return ReadLeaf(f.Certificate)
}

func (p *PKI) write(dir string, o Order) (Files, error) {
	if o.ValidFor == 0 {
		o.ValidFor = LeafValidFor
	}
	a, err := p.authority()
	if err != nil {
		return Files{}, err
	}
	if end := time.Now().Add(o.ValidFor); end.After(a.cert.NotAfter) {
		return Files{}, fmt.Errorf("the authority itself ends on %s; rotate it with `domicile pki rotate --authority prepare`, or ask for a shorter --valid-for", a.cert.NotAfter.UTC().Format(time.DateOnly))
	}
	return a.issue(dir, o.Identity, o.Hosts, o.ValidFor)
}

// authority is the one that signs, with the bundle of now.
func (p *PKI) authority() (*Authority, error) {
	a, err := loadAuthority(p.certPath(p.state.Active), p.keyPath(p.state.Active))
	if err != nil {
		return nil, err
	}
	a.bundle, err = p.bundle()
	return a, err
}

// Authorities are the trusted ones, the signing one first.
func (p *PKI) Authorities() ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for _, n := range p.trusted() {
		c, err := ReadLeaf(p.certPath(n))
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

func (p *PKI) trusted() []int {
	out := []int{p.state.Active}
	for _, n := range []int{p.state.Next, p.state.Former} {
		if n != 0 {
			out = append(out, n)
		}
	}
	return out
}

func (p *PKI) bundle() ([]byte, error) {
	var out []byte
	for _, n := range p.trusted() {
		raw, err := os.ReadFile(p.certPath(n))
		if err != nil {
			return nil, fmt.Errorf("read authority: %w", err)
		}
		out = append(out, raw...)
	}
	return out, nil
}

func (p *PKI) create(n int) error {
	_, err := newAuthority(p.certPath(n), p.keyPath(n), fmt.Sprintf("Domicile authority %d of %s", n, p.state.Cluster))
	return err
}

// save takes the step, then writes the bundle, which is only derived: every
// issued certificate comes with one made anew.
func (p *PKI) save() error {
	raw, err := json.MarshalIndent(p.state, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the authority's state: %w", err)
	}
	if err := replace(filepath.Join(p.dir, pkiFile), append(raw, '\n'), 0o600); err != nil {
		return err
	}
	bundle, err := p.bundle()
	if err != nil {
		return err
	}
	return replace(p.Bundle(), bundle, 0o644)
}

func (p *PKI) certPath(n int) string {
	return filepath.Join(p.dir, "authority-"+strconv.Itoa(n)+".pem")
}
func (p *PKI) keyPath(n int) string {
	return filepath.Join(p.dir, "authority-"+strconv.Itoa(n)+".key")
}

// ReadLeaf reads the first certificate of a PEM file.
func ReadLeaf(path string) (*x509.Certificate, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	block, _ := pem.Decode(raw)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s holds no PEM certificate", path)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", path, err)
	}
	return c, nil
}
