package cli

import (
	"context"
	"encoding/hex"
	"strings"

	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/api/bundle"
	"github.com/domicile-io/domicile/policy"
)

func (a *app) trustCommand() *cobra.Command {
	return group("trust", "The offline root, and the keys with which tenants and second people sign",
		a.trustInit(), a.trustCertify(), a.trustRotate(), a.trustEnrol(), a.trustPin(), a.trustVerify(), a.trustKeys(), a.trustWithdraw(), a.trustAdmitNode())
}

func (a *app) trustInit() *cobra.Command {
	var out string
	c := &cobra.Command{Use: "init --out NAME", Short: "Make a key pair: the operator's root, a bundle key, a tenant's or an approver's", Args: cobra.NoArgs,
		Long: `Writes NAME.key (mode 0600) and NAME.pub. Nothing is sent anywhere. Make the operator's root on a
machine without a network and keep it there: nodes pin NAME.pub as root_public_key.`,
		RunE: a.run(func(context.Context, []string) error {
			if out == "" {
				return usagef("--out is missing: name the new key, e.g. --out root")
			}
			public, err := makeKeyPair(out)
			if err != nil {
				return err
			}
			return a.plain(map[string]string{"key": out + ".key", "public": out + ".pub", "public_key": public}, func() {
				a.out.Fields([2]string{"key", out + ".key"}, [2]string{"public", out + ".pub"}, [2]string{"public key", public})
			})
		})}
	c.Flags().StringVar(&out, "out", "", "`name` of the new files, without an ending")
	return c
}

// certifyFlags are what the root says of a key.
type certifyFlags struct {
	root, cluster, tenant, purpose, principal, entity, boundary, key, approver, out string
}

func (a *app) trustCertify() *cobra.Command {
	var o certifyFlags
	c := &cobra.Command{Use: "certify --root FILE --purpose PURPOSE --cluster CL… --key FILE --out FILE", Short: "Certify a key with the operator's root, offline", Args: cobra.NoArgs,
		Long: `Purposes:
  bundle     a control plane's bundle key; writes what bundle_key_certificate names
  tenant     a tenant's signing key (--tenant)
  approver   a second person's key for one tenant (--tenant, --principal, --entity, --boundary)
  withdrawal the end of an approver's key without a successor (--tenant, --approver; no --key)
  recovery   a person's key for recovering a lost quorum (--principal)`,
		RunE: a.run(func(context.Context, []string) error { return a.certify(o) })}
	f := c.Flags()
	f.StringVar(&o.root, "root", "", "root's key `file`")
	f.StringVar(&o.cluster, "cluster", "", "cluster's `id`, CL…")
	f.StringVar(&o.purpose, "purpose", "", "`purpose`: bundle, tenant, approver, withdrawal or recovery")
	f.StringVar(&o.tenant, "tenant", "", "tenant's `id`, TN…")
	f.StringVar(&o.principal, "principal", "", "approver's or person's opaque `id`, PR…")
	f.StringVar(&o.entity, "entity", "", "`code` of the contracting entity that employs the approver")
	f.StringVar(&o.boundary, "boundary", "", "`boundary` in which the approver works")
	f.StringVar(&o.key, "key", "", "public key `file` to certify")
	f.StringVar(&o.approver, "approver", "", "`id` of the approver's key to withdraw, 32 hex digits")
	f.StringVar(&o.out, "out", "", "certificate `file` to write")
	return c
}

func (a *app) certify(o certifyFlags) error {
	switch {
	case o.root == "" || o.out == "" || (o.key == "") != (o.purpose == "withdrawal"):
		return usagef("--root, --key and --out are all needed; for a withdrawal --approver in place of --key")
	case !policy.ValidID(policy.KindCluster, o.cluster):
		return usagef("--cluster must be the cluster's id: CL and 32 lower-case hex digits")
	case o.purpose == "recovery":
		return a.certifyOfficer(o)
	case o.purpose != "bundle" && !policy.ValidID(policy.KindTenant, o.tenant):
		return usagef("--tenant must be the tenant's id, TN…; `domicile tenants get` shows it")
	}
	root, err := readSecretKey(o.root)
	if err != nil {
		return err
	}
	if o.purpose == "withdrawal" {
		return a.certifyWithdrawal(root, o)
	}
	public, err := readPublicKey(o.key)
	if err != nil {
		return err
	}
	if o.purpose == "bundle" {
		if err := writeNew(o.out, []byte(hex.EncodeToString(bundle.CertifyKey(root, o.cluster, public))+"\n"), 0o644); err != nil {
			return err
		}
		return a.plain(map[string]string{"certificate": o.out}, func() { a.out.Fields([2]string{"certificate", o.out}) })
	}
	k := policy.SigningKey{ID: policy.KeyIDOf(public), Purpose: policy.KeyPurpose(o.purpose), PublicKey: hex.EncodeToString(public),
		Principal: o.principal, Entity: o.entity, Boundary: policy.Boundary(o.boundary)}
	if err := k.Check(); err != nil {
		return usagef("%v", err)
	}
	c := certificateFile{Cluster: o.cluster, Tenant: policy.TenantID(o.tenant), Key: k}
	c.Key.Certificate = policy.Sign(root, k.Statement(c.Cluster, c.Tenant))
	return a.writeCertificate(c, o.out)
}

func (a *app) writeCertificate(c certificateFile, out string) error {
	if err := c.write(out); err != nil {
		return err
	}
	return a.plain(c, func() {
		a.out.Fields([2]string{"certificate", out}, [2]string{"key", c.Key.ID}, [2]string{"purpose", string(c.Key.Purpose)}, [2]string{"tenant", string(c.Tenant)})
		a.err.Line("  next: domicile trust enrol %s --cert %s", c.Tenant, out)
	})
}

func (a *app) trustRotate() *cobra.Command {
	var key, cert, next, out string
	c := &cobra.Command{Use: "rotate --key FILE --cert FILE --next FILE --out FILE", Short: "Let a tenant's present key certify its successor", Args: cobra.NoArgs,
		Long: `The present key signs the next one; enrol the result with the next key. When the present key is lost
or stolen, let the root certify the next one instead (domicile trust certify).`,
		RunE: a.run(func(context.Context, []string) error {
			if key == "" || cert == "" || next == "" || out == "" {
				return usagef("--key, --cert, --next and --out are all needed")
			}
			present, err := readSecretKey(key)
			if err != nil {
				return err
			}
			c, err := readCertificate(cert)
			if err != nil {
				return err
			}
			public, err := readPublicKey(next)
			if err != nil {
				return err
			}
			if c.Key.Purpose != policy.TenantKey {
				return usagef("only a tenant's key certifies its successor; an approver's next key is certified by the root")
			}
			if keyID(present) != c.Key.ID {
				return usagef("--key and --cert do not belong together: the certificate is of key %s", c.Key.ID)
			}
			c.Key = policy.SigningKey{ID: policy.KeyIDOf(public), Purpose: policy.TenantKey, PublicKey: hex.EncodeToString(public)}
			c.Key.Certificate = policy.Sign(present, c.Key.Statement(c.Cluster, c.Tenant))
			return a.writeCertificate(c, out)
		})}
	f := c.Flags()
	f.StringVar(&key, "key", "", "present key `file`")
	f.StringVar(&cert, "cert", "", "present key's certificate `file`")
	f.StringVar(&next, "next", "", "next key's public `file`")
	f.StringVar(&out, "out", "", "certificate `file` to write")
	return c
}

func (a *app) trustKeys() *cobra.Command {
	var filter string
	return filtered(&filter, &cobra.Command{Use: "keys TENANT", Short: "List a tenant's signing keys and approvers", Args: cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			l, err := cp.SigningKeys(ctx, args[0], filter)
			if err != nil {
				return err
			}
			return a.result(l, func() {
				if a.none(len(l.GetKeys()), "signing keys", "the tenant trusts the control plane; enrol a key with `domicile trust enrol`") {
					return
				}
				rows := make([][]string, 0, len(l.GetKeys()))
				for _, k := range l.GetKeys() {
					state := "replaced"
					switch {
					case k.GetActive():
						state = "signs"
					case k.GetWithdrawal() != nil:
						state = "withdrawn"
					}
					rows = append(rows, []string{k.GetId(), k.GetPurpose(), dash(k.GetPrincipal()), dash(strings.TrimSpace(k.GetEntity() + " " + k.GetBoundary())), state})
				}
				a.out.Table([]string{"KEY", "PURPOSE", "PRINCIPAL", "OF", "STATE"}, rows)
			})
		})})
}
