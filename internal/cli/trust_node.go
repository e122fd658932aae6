package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/policy"
)

// admissionFile is what `trust admit-node` writes and `nodes admit` brings to
// the control plane. Nothing in it is secret.
type admissionFile struct {
	Cluster string `json:"cluster"`
	policy.NodeAdmission
}

// admitFlags are what the root says of a node.
type admitFlags struct {
	root, cluster, node, region, cert, out string
	valid                                  time.Duration
}

func (a *app) trustAdmitNode() *cobra.Command {
	var o admitFlags
	c := &cobra.Command{Use: "admit-node --root FILE --cluster CL… --cert FILE --out FILE", Short: "Vouch for a node's place with the operator's root, offline", Args: cobra.NoArgs,
		Long: `Signs that a node stands in a region: level operator_signed. No voter can write that, and nodes verify
their own.

--cert is the node's certificate, which names node and region; the admission then holds for its key,
and ends when ` + "`domicile pki rotate`" + ` gives it another. Or it is the authority's (ca.pem), with --node and
--region: then it holds for every certificate that this authority gives the node.`,
		RunE: a.run(func(context.Context, []string) error { return a.admitNode(o) })}
	f := c.Flags()
	f.StringVar(&o.root, "root", "", "root's key `file`")
	f.StringVar(&o.cluster, "cluster", "", "cluster's `id`, CL…")
	f.StringVar(&o.cert, "cert", "", "certificate `file` of the node, or of its authority")
	f.StringVar(&o.node, "node", "", "node's `id`, ND…; with an authority's certificate")
	f.StringVar(&o.region, "region", "", "node's `region`; with an authority's certificate")
	f.DurationVar(&o.valid, "valid-for", 365*24*time.Hour, "how `long` it holds")
	f.StringVar(&o.out, "out", "", "admission `file` to write")
	return c
}

func (a *app) admitNode(o admitFlags) error {
	switch {
	case o.root == "" || o.cert == "" || o.out == "":
		return usagef("--root, --cert and --out are all needed")
	case !policy.ValidID(policy.KindCluster, o.cluster):
		return usagef("--cluster must be the cluster's id: CL and 32 lower-case hex digits")
	}
	cert, err := mtls.ReadLeaf(o.cert)
	if err != nil {
		return usagef("%v", err)
	}
	if !cert.IsCA {
		id, err := mtls.Of(cert)
		switch {
		case err != nil:
			return usagef("%s: %v", o.cert, err)
		case id.Role != mtls.DataPlane:
			return usagef("%s is of role %s; only nodes of a region (dp) are admitted", o.cert, id.Role)
		case id.Cluster != o.cluster:
			return usagef("%s is of cluster %s", o.cert, id.Cluster)
		case o.node != "" && o.node != string(id.Node), o.region != "" && o.region != string(id.Region):
			return usagef("%s is of node %s in %s: leave --node and --region out", o.cert, id.Node, id.Region)
		}
		o.node, o.region = string(id.Node), string(id.Region)
	}
	root, err := readSecretKey(o.root)
	if err != nil {
		return err
	}
	now := time.Now()
	f := admissionFile{Cluster: o.cluster, NodeAdmission: policy.NodeAdmission{Node: policy.NodeID(o.node), Region: policy.RegionID(o.region), Level: policy.OperatorSigned,
		KeySHA256: mtls.KeyHash(cert), IssuedAt: now.Unix(), NotAfter: now.Add(o.valid).Unix()}}
	if err := f.Check(); err != nil {
		return usagef("%v", err)
	}
	f.Signature = policy.Sign(root, f.Statement(o.cluster))
	raw, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the admission: %w", err)
	}
	if err := writeNew(o.out, append(raw, '\n'), 0o644); err != nil {
		return err
	}
	return a.plain(f, func() {
		a.out.Fields([2]string{"admission", o.out}, [2]string{"node", o.node}, [2]string{"region", o.region}, [2]string{"level", f.Level.String()},
			[2]string{"key", f.KeySHA256}, [2]string{"until", when(time.Unix(f.NotAfter, 0))})
		a.err.Line("  next: domicile nodes admit %s --admission %s", o.node, o.out)
	})
}

func readAdmission(path string) (f admissionFile, err error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return f, usagef("the admission cannot be read: %v", err)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil || f.Check() != nil {
		return f, usagef("%s is no admission of `domicile trust admit-node`", path)
	}
	return f, nil
}
