package cli

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

func (a *app) pkiCommand() *cobra.Command {
	return group("pki", "Certificates for voters, gateways and nodes, for a cluster without an authority of its own",
		a.pkiInit(), a.pkiIssue(), a.pkiRotate(), a.pkiShow())
}

func pkiDir(c *cobra.Command, dir *string) {
	c.Flags().StringVar(dir, "dir", "pki", "`folder` of the authority; keep it off the nodes")
}

// certificateRow is one certificate as printed.
type certificateRow struct {
	File        string    `json:"file,omitempty"`
	Kind        string    `json:"kind"` // authority or node
	Identity    string    `json:"identity,omitempty"`
	Role        string    `json:"role,omitempty"`
	Region      string    `json:"region,omitempty"`
	Node        string    `json:"node,omitempty"`
	Hosts       []string  `json:"hosts,omitempty"`
	Issuer      string    `json:"issuer"`
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	Fingerprint string    `json:"sha256"`
	Warning     string    `json:"warning,omitempty"`
}

func describe(file string, c *x509.Certificate) certificateRow {
	sum := sha256.Sum256(c.Raw)
	r := certificateRow{File: file, Kind: "authority", Issuer: c.Issuer.CommonName, NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(),
		Fingerprint: hex.EncodeToString(sum[:])}
	if !c.IsCA {
		r.Kind = "node"
		if id, err := mtls.Of(c); err != nil {
			r.Warning = err.Error()
		} else {
			r.Identity, r.Role, r.Region, r.Node = id.URI().String(), string(id.Role), string(id.Region), string(id.Node)
		}
		r.Hosts = append(r.Hosts, c.DNSNames...)
		for _, ip := range c.IPAddresses {
			r.Hosts = append(r.Hosts, ip.String())
		}
	}
	left, whole := time.Until(c.NotAfter), c.NotAfter.Sub(c.NotBefore)
	switch {
	case left <= 0:
		r.Warning = "expired"
	case left < whole/3:
		r.Warning = fmt.Sprintf("rotate: %d days left", int(left.Hours()/24))
	}
	return r
}

func (a *app) showCertificates(rows []certificateRow) {
	out := make([][]string, 0, len(rows))
	for _, r := range rows {
		role := r.Kind
		if r.Role != "" {
			role = r.Role
		}
		note := "ok"
		if r.Warning != "" {
			note = r.Warning
		}
		out = append(out, []string{dash(r.File), role, dash(r.Region), dash(r.Node), dash(strings.Join(r.Hosts, " ")), when(r.NotAfter), note})
	}
	a.out.Table([]string{"FILE", "ROLE", "REGION", "NODE", "HOSTS", "VALID UNTIL", "STATE"}, out)
}

func (a *app) pkiInit() *cobra.Command {
	var dir, cluster string
	c := &cobra.Command{Use: "init", Short: "Make an authority for a new cluster", Args: cobra.NoArgs,
		RunE: a.run(func(context.Context, []string) error {
			if cluster == "" {
				var err error
				if cluster, err = policy.NewID(policy.KindCluster, rand.Reader); err != nil {
					return err
				}
			}
			p, err := mtls.InitPKI(dir, cluster)
			if err != nil {
				return err
			}
			return a.plain(map[string]string{"cluster": p.Cluster(), "dir": dir, "bundle": p.Bundle()}, func() {
				a.out.Fields([2]string{"cluster", p.Cluster()}, [2]string{"folder", dir}, [2]string{"bundle", p.Bundle()})
				a.err.Line("  next: domicile pki issue --dir %s --role cp --host HOST --out cp1", dir)
				a.err.Line("  back this folder up, encrypted, and keep it off the nodes: who has its keys can be any node")
			})
		})}
	pkiDir(c, &dir)
	c.Flags().StringVar(&cluster, "cluster", "", "cluster's `id`, CL and 32 hex digits; drawn if left out")
	return c
}

func (a *app) pkiIssue() *cobra.Command {
	var dir, role, region, node, out string
	var hosts []string
	var valid time.Duration
	c := &cobra.Command{Use: "issue --role ROLE [--region REGION] --host HOST… --out FOLDER", Short: "Issue a voter's, gateway's or node's certificate", Args: cobra.NoArgs,
		Long: `Writes cert.pem, key.pem (mode 0600) and ca.pem into --out. Roles: cp a voter, gw the gateway of a
voter, dp a node of a region. A node's region is what its certificate says: --region is required
for dp and only for dp.`,
		RunE: a.run(func(context.Context, []string) error {
			id, err := identityOf(role, region, node)
			if err != nil {
				return err
			}
			switch {
			case out == "":
				return usagef("--out is missing: name the folder for the new files")
			case len(hosts) == 0 && id.Role != mtls.Gateway:
				return usagef("--host is missing: name the DNS names and IP addresses at which it is reached")
			case valid < time.Hour:
				return usagef("--valid-for must be at least 1h")
			}
			p, err := mtls.OpenPKI(dir)
			if err != nil {
				return err
			}
			id.Cluster = p.Cluster()
			f, err := p.Issue(out, mtls.Order{Identity: id, Hosts: hosts, ValidFor: valid})
			if err != nil {
				return err
			}
			return a.printLeaf(f)
		})}
	pkiDir(c, &dir)
	f := c.Flags()
	f.StringVar(&role, "role", "", "`role`: cp, gw or dp")
	f.StringVar(&region, "region", "", "`region` of a dp certificate")
	f.StringVar(&node, "node", "", "node's `id`, ND and 32 hex digits; drawn if left out")
	f.StringArrayVar(&hosts, "host", nil, "DNS `name` or IP address of its listeners; may be repeated")
	f.StringVar(&out, "out", "", "`folder` for the new files")
	f.DurationVar(&valid, "valid-for", mtls.LeafValidFor, "how `long` it is valid")
	return c
}

func identityOf(role, region, node string) (mtls.Identity, error) {
	id := mtls.Identity{Role: mtls.Role(role), Region: mtls.ControlRegion, Node: policy.NodeID(node)}
	switch id.Role {
	case mtls.DataPlane:
		r, err := policy.ParseRegionID(region)
		if err != nil {
			return id, usagef("--region is missing or no region: a node's region is what its certificate says, e.g. --region ie1")
		}
		id.Region = r
	case mtls.ControlPlane, mtls.Gateway:
		if region != "" {
			return id, usagef("--region goes with --role dp only")
		}
	default:
		return id, usagef("--role must be cp (voter), gw (a voter's gateway) or dp (a region's node)")
	}
	if node == "" {
		drawn, err := policy.NewID(policy.KindNode, rand.Reader)
		id.Node = policy.NodeID(drawn)
		return id, err
	}
	if !policy.ValidID(policy.KindNode, node) {
		return id, usagef("--node must be ND and 32 lower-case hex digits")
	}
	return id, nil
}

func (a *app) printLeaf(f mtls.Files) error {
	leaf, err := mtls.ReadLeaf(f.Certificate)
	if err != nil {
		return err
	}
	row := describe(f.Certificate, leaf)
	return a.plain(row, func() {
		a.out.Fields([2]string{"identity", row.Identity}, [2]string{"valid until", when(row.NotAfter)},
			[2]string{"certificate", f.Certificate}, [2]string{"key", f.Key}, [2]string{"ca", f.CA})
	})
}

func (a *app) pkiRotate() *cobra.Command {
	var dir, authority string
	var valid time.Duration
	c := &cobra.Command{Use: "rotate FOLDER… | --authority prepare|activate|retire", Short: "Renew certificates, or replace the authority in three steps",
		Long: `With folders of issued certificates: gives each a new key and certificate for the same identity and
hosts, and the authorities of now. Copy the three files to the node, each by rename; it follows
within a second of the next connection, without a restart.

With --authority, one step of replacing the authority itself. After each step rotate every folder
and wait until every node follows (metric domicile_certificate_problem is 0):

  prepare    nodes will trust the next authority beside the present one
  activate   the next one signs from now on
  retire     the former one is trusted no longer; its key is destroyed`,
		RunE: a.run(func(_ context.Context, folders []string) error {
			p, err := mtls.OpenPKI(dir)
			if err != nil {
				return err
			}
			switch {
			case authority != "" && len(folders) > 0:
				return usagef("take the authority's step first, then rotate the folders: they go by two commands")
			case authority != "":
				return a.rotateAuthority(p, authority)
			case len(folders) == 0:
				return usagef("name the folders to rotate, or a step: --authority prepare|activate|retire")
			}
			return a.rotateLeaves(p, folders, valid)
		})}
	pkiDir(c, &dir)
	c.Flags().StringVar(&authority, "authority", "", "`step`: prepare, activate or retire")
	c.Flags().DurationVar(&valid, "valid-for", mtls.LeafValidFor, "how `long` the new certificates are valid")
	return c
}

func (a *app) rotateAuthority(p *mtls.PKI, step string) error {
	steps := map[string]func() error{"prepare": p.Prepare, "activate": p.Activate, "retire": p.Retire}
	do, ok := steps[step]
	if !ok {
		return usagef("--authority takes prepare, activate or retire")
	}
	if err := do(); err != nil {
		return err
	}
	state, next := p.Step()
	if next == "" {
		next = "rotate every node's files once more, so that none trusts the former authority"
	}
	return a.plain(map[string]string{"state": state, "next": next}, func() {
		a.out.Fields([2]string{"authority", state})
		a.err.Line("  next: %s", next)
	})
}

func (a *app) rotateLeaves(p *mtls.PKI, folders []string, valid time.Duration) error {
	rows := make([]certificateRow, 0, len(folders))
	for _, dir := range folders {
		leaf, err := p.Reissue(dir, valid)
		if err != nil {
			return fmt.Errorf("%w\n%d of %d folders were rotated; repeat the command when this is mended", err, len(rows), len(folders))
		}
		rows = append(rows, describe(filepath.Join(dir, "cert.pem"), leaf))
	}
	return a.plain(map[string]any{"certificates": rows}, func() { a.showCertificates(rows) })
}

func (a *app) pkiShow() *cobra.Command {
	var dir string
	c := &cobra.Command{Use: "show [FOLDER…]", Short: "Show the authority, or the certificates in folders, and how long they last",
		RunE: a.run(func(_ context.Context, folders []string) error {
			rows := make([]certificateRow, 0, len(folders))
			if len(folders) > 0 {
				for _, f := range folders {
					leaf, err := mtls.ReadLeaf(mtls.FilesIn(f).Certificate)
					if err != nil {
						return err
					}
					rows = append(rows, describe(mtls.FilesIn(f).Certificate, leaf))
				}
				return a.plain(map[string]any{"certificates": rows}, func() { a.showCertificates(rows) })
			}
			p, err := mtls.OpenPKI(dir)
			if err != nil {
				return err
			}
			trusted, err := p.Authorities()
			if err != nil {
				return err
			}
			for _, t := range trusted {
				rows = append(rows, describe("", t))
			}
			state, next := p.Step()
			return a.plain(map[string]any{"cluster": p.Cluster(), "state": state, "next": next, "authorities": rows}, func() {
				a.showAuthorities(p.Cluster(), state, next, rows)
			})
		})}
	pkiDir(c, &dir)
	return c
}

func (a *app) showAuthorities(cluster, state, next string, rows []certificateRow) {
	a.out.Fields([2]string{"cluster", cluster}, [2]string{"rotation", state})
	a.out.Line("")
	out := make([][]string, 0, len(rows))
	for i, r := range rows {
		use := "trusted"
		if i == 0 {
			use = "signs"
		}
		out = append(out, []string{r.Issuer, use, when(r.NotAfter), r.Fingerprint[:16]})
	}
	a.out.Table([]string{"AUTHORITY", "USE", "VALID UNTIL", "SHA-256"}, out)
	if next != "" {
		a.err.Line("  next: %s", next)
	}
}
