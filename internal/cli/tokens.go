package cli

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

func (a *app) tokensCommand() *cobra.Command {
	return group("tokens", "Issue, list and revoke tokens of the control plane", a.tokensCreate(), a.tokensList(), a.tokensRevoke())
}

// grant is what a new credential is to be.
type grant struct {
	role, tenant, region string
	readOnly             bool
	lifetime             time.Duration
}

func (g *grant) flags(c *cobra.Command, lasts string) {
	f := c.Flags()
	f.StringVar(&g.role, "role", "", "`role`: operator, security_officer, region_admin, auditor, tenant_admin, tenant_reader or terraform")
	f.StringVar(&g.tenant, "tenant", "", "`tenant` of the tenant roles")
	f.StringVar(&g.region, "region", "", "`region` of region_admin")
	f.BoolVar(&g.readOnly, "read-only", false, "changes nothing, whatever the role")
	f.DurationVar(&g.lifetime, "lifetime", 0, "`time` until it runs out; left out: "+lasts)
}

func (g *grant) check() error {
	if g.role == "" {
		return usagef("--role is missing: see --help for the roles")
	}
	if g.lifetime < 0 || g.lifetime%time.Second != 0 {
		return usagef("--lifetime must be whole seconds, e.g. 12h")
	}
	return nil
}

// drawToken draws a token on this machine; the control plane learns its hash only.
func drawToken() (token, sha256Hex string, err error) {
	var raw [32]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return "", "", fmt.Errorf("draw a token: %w", err)
	}
	token = "dt_" + hex.EncodeToString(raw[:])
	sum := sha256.Sum256([]byte(token))
	return token, hex.EncodeToString(sum[:]), nil
}

func (a *app) tokensCreate() *cobra.Command {
	var g grant
	c := &cobra.Command{Use: "create --role ROLE", Short: "Draw a token on this machine and register its hash", Args: cobra.NoArgs,
		Long: `Draws a token on this machine, sends only its SHA-256 to the control plane, and prints the token once,
on standard output. The answer names its principal: that is what the audit log shows and what revokes it.`,
		Example: "  domicile tokens create --role auditor --lifetime 8h\n  export DOMICILE_TOKEN=$(domicile tokens create --role tenant_admin --tenant acme-ie)",
		RunE: a.run(func(ctx context.Context, _ []string) error {
			if err := g.check(); err != nil {
				return err
			}
			cp, err := a.control()
			if err != nil {
				return err
			}
			return a.issueToken(ctx, cp, g)
		})}
	g.flags(c, "one day")
	return c
}

func (a *app) issueToken(ctx context.Context, cp *client.Control, g grant) error {
	token, sum, err := drawToken()
	if err != nil {
		return err
	}
	t, err := cp.CreateToken(ctx, &controlv1.CreateTokenRequest{Role: g.role, Tenant: g.tenant, Region: g.region, ReadOnly: g.readOnly,
		Lifetime: uint32(g.lifetime / time.Second), SecretSha256: sum})
	if err != nil {
		return err
	}
	t.Secret = token
	return a.result(t, func() {
		a.out.Line("%s", token)
		a.err.Line("token of principal %s, role %s, until %s; it is not shown again", t.GetPrincipal(), t.GetRole(), stamp(t.GetExpiresAt()))
	})
}

func (a *app) tokensList() *cobra.Command {
	var filter string
	return filtered(&filter, &cobra.Command{Use: "list", Short: "List tokens; the tokens themselves are not known to anyone", Args: cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			ts, err := cp.Tokens(ctx, filter)
			if err != nil {
				return err
			}
			return list(a, "tokens", ts, func() {
				rows := make([][]string, 0, len(ts))
				for _, t := range ts {
					rows = append(rows, []string{t.GetPrincipal(), roleText(t.GetRole(), t.GetReadOnly()), dash(t.GetTenant() + t.GetRegion()), stamp(t.GetCreateTime()), stamp(t.GetExpiresAt())})
				}
				a.out.Table([]string{"PRINCIPAL", "ROLE", "OF", "CREATED", "UNTIL"}, rows)
			})
		})})
}

func roleText(role string, readOnly bool) string {
	if readOnly {
		return role + ", reading"
	}
	return role
}

func (a *app) tokensRevoke() *cobra.Command {
	return &cobra.Command{Use: "revoke PRINCIPAL", Short: "Revoke a token: it opens nothing from then on", Args: cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			t, err := cp.TokenInfo(ctx, args[0])
			if err != nil {
				return err
			}
			if err := cp.DeleteToken(ctx, args[0], t.GetEtag()); err != nil {
				return err
			}
			return a.result(&controlv1.DeleteTokenResponse{}, func() { a.out.Line("the token of %s is revoked", args[0]) })
		})}
}
