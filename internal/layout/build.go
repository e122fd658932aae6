package layout

import (
	"encoding/hex"
	"fmt"
	"path/filepath"

	"github.com/domicile-io/domicile/controlplane"
	"github.com/domicile-io/domicile/dataplane"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
	"github.com/domicile-io/domicile/regions"
)

type builder struct {
	o         Options
	state     *state
	catalogue *regions.Catalogue
	authority *mtls.Authority
	secrets   *secrets
}

func (b *builder) build() (*Layout, error) {
	var err error
	pki := filepath.Join(b.o.Dir, "pki")
	if b.authority, err = mtls.OpenAuthority(pki); err != nil {
		return nil, err
	}
	if b.secrets, err = openSecrets(pki, b.state.Cluster); err != nil {
		return nil, err
	}
	l := &Layout{Dir: b.o.Dir, Cluster: b.state.Cluster, Token: b.secrets.token, CA: filepath.Join(pki, "ca.pem")}
	if l.Regions, err = b.regions(); err != nil {
		return nil, err
	}
	if l.Voters, err = b.voters(l.Regions); err != nil {
		return nil, err
	}
	for i := range l.Regions {
		for _, v := range l.Voters {
			l.Regions[i].ControlPlane = append(l.Regions[i].ControlPlane, v.GRPCAddress)
		}
	}
	return l, nil
}

func (b *builder) voters(nodes []dataplane.Config) ([]controlplane.Config, error) {
	urls := map[string]string{}
	for _, n := range nodes {
		urls[n.Region] = n.BaseURLs[n.Region]
	}
	var out []controlplane.Config
	var members []controlplane.Voter
	for i := range b.o.Voters {
		c, err := b.voter(fmt.Sprintf("cp%d", i+1))
		if err != nil {
			return nil, err
		}
		c.Bootstrap = &controlplane.Bootstrap{OperatorTokenSHA256: hashToken(b.secrets.token), BaseURLs: urls}
		members = append(members, controlplane.Voter{Name: c.Name, RaftAddress: c.RaftAddress, GRPCAddress: c.GRPCAddress})
		out = append(out, c)
	}
	for i := range out {
		out[i].Voters = members
	}
	return out, nil
}

func (b *builder) voter(name string) (controlplane.Config, error) {
	dir := filepath.Join(b.o.Dir, "controlplane", name)
	c := controlplane.Config{Name: name, DataDir: dir, BundleKey: b.secrets.bundleKey, BundleKeyCertificate: b.secrets.bundleCertificate,
		RootPublicKey: hex.EncodeToString(b.secrets.rootPublic)}
	var err error
	if c.TLS, err = b.issue(name, filepath.Join(dir, "tls"), mtls.ControlRegion, mtls.ControlPlane); err != nil {
		return c, err
	}
	if c.GatewayTLS, err = b.issue(name+" gateway", filepath.Join(dir, "gateway"), mtls.ControlRegion, mtls.Gateway); err != nil {
		return c, err
	}
	for listener, address := range map[string]*string{"rest": &c.RESTAddress, "grpc": &c.GRPCAddress, "raft": &c.RaftAddress, "ops": &c.OpsAddress} {
		if *address, err = b.address(name + " " + listener); err != nil {
			return c, err
		}
	}
	return c, nil
}

func (b *builder) regions() ([]dataplane.Config, error) {
	var out []dataplane.Config
	urls, peers := map[string]string{}, map[string]dataplane.Peer{}
	for _, id := range b.o.Regions {
		described, ok := b.region(id)
		if !ok {
			return nil, fmt.Errorf("region %s is not in the built-in catalogue", id)
		}
		c, err := b.node(described)
		if err != nil {
			return nil, err
		}
		urls[c.Region] = "https://" + c.ListenAddress
		peers[c.Region] = dataplane.Peer{Address: c.PeerAddress, Boundary: string(described.Boundary)}
		out = append(out, c)
	}
	for i := range out {
		out[i].BaseURLs, out[i].Peers = urls, peers
	}
	return out, nil
}

func (b *builder) region(id policy.RegionID) (policy.Region, bool) {
	for _, r := range b.catalogue.Regions {
		if r.ID == id {
			return r, true
		}
	}
	return policy.Region{}, false
}

func (b *builder) node(r policy.Region) (dataplane.Config, error) {
	name := string(r.ID)
	dir := filepath.Join(b.o.Dir, name)
	c := dataplane.Config{Region: name, DataDir: dir, Hosts: []string{"127.0.0.1"}, RootPublicKey: hex.EncodeToString(b.secrets.rootPublic),
		DefaultCountry: r.Country, ExportInterval: b.o.ExportInterval, ExportWindow: b.o.ExportWindow}
	var err error
	if c.TLS, err = b.issue(name, filepath.Join(dir, "tls"), r.ID, mtls.DataPlane); err != nil {
		return c, err
	}
	for listener, address := range map[string]*string{"tenants": &c.ListenAddress, "peers": &c.PeerAddress, "ops": &c.OpsAddress} {
		if *address, err = b.address(name + " " + listener); err != nil {
			return c, err
		}
	}
	return c, nil
}

// issue gives a listener's owner a certificate, once: a later start loads it,
// and one that does not load any more is issued anew.
func (b *builder) issue(owner, dir string, region policy.RegionID, role mtls.Role) (mtls.Files, error) {
	if b.state.Nodes[owner] == "" {
		id, err := newID(policy.KindNode)
		if err != nil {
			return mtls.Files{}, err
		}
		b.state.Nodes[owner] = policy.NodeID(id)
	}
	identity := mtls.Identity{Cluster: b.state.Cluster, Region: region, Role: role, Node: b.state.Nodes[owner]}
	files := mtls.Files{Certificate: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"), CA: filepath.Join(dir, "ca.pem")}
	if m, err := mtls.Load(files); err == nil && m.Identity == identity && m.FreshFor(reissueBefore) {
		return files, nil
	}
	return b.authority.Issue(dir, identity, "127.0.0.1", "localhost")
}
