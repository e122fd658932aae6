package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

func (a *app) principalsCommand() *cobra.Command {
	return group("principals", "Give people who log in their roles", a.principalsBind(), a.principalsList(), a.principalsUnbind())
}

func (a *app) principalsBind() *cobra.Command {
	var g grant
	c := &cobra.Command{Use: "bind PRINCIPAL --role ROLE", Short: "Bind a person, as domicile whoami names them, to a role", Args: cobra.ExactArgs(1),
		Example: "  domicile principals bind PR00112233445566778899aabbccddeeff --role auditor",
		RunE: a.run(func(ctx context.Context, args []string) error {
			if err := g.check(); err != nil {
				return err
			}
			cp, err := a.control()
			if err != nil {
				return err
			}
			p, err := cp.CreatePrincipal(ctx, &controlv1.CreatePrincipalRequest{Id: args[0], Role: g.role, Tenant: g.tenant, Region: g.region,
				ReadOnly: g.readOnly, Lifetime: uint32(g.lifetime / time.Second)})
			if err != nil {
				return err
			}
			return a.result(p, func() {
				a.out.Line("%s is %s until %s", p.GetId(), roleText(p.GetRole(), p.GetReadOnly()), stamp(p.GetExpiresAt()))
			})
		})}
	g.flags(c, "90 days")
	return c
}

func (a *app) principalsList() *cobra.Command {
	var filter string
	return filtered(&filter, &cobra.Command{Use: "list", Short: "List who is bound to which role", Args: cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			ps, err := cp.Principals(ctx, filter)
			if err != nil {
				return err
			}
			return list(a, "principals", ps, func() {
				if a.none(len(ps), "principals", "bind one: domicile principals bind PRINCIPAL --role ROLE") {
					return
				}
				rows := make([][]string, 0, len(ps))
				for _, p := range ps {
					rows = append(rows, []string{p.GetId(), roleText(p.GetRole(), p.GetReadOnly()), dash(p.GetTenant() + p.GetRegion()), stamp(p.GetExpiresAt())})
				}
				a.out.Table([]string{"PRINCIPAL", "ROLE", "OF", "UNTIL"}, rows)
			})
		})})
}

func (a *app) principalsUnbind() *cobra.Command {
	return &cobra.Command{Use: "unbind PRINCIPAL", Short: "Take a person's role away, at once", Args: cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			p, err := cp.Principal(ctx, args[0])
			if err != nil {
				return err
			}
			if err := cp.DeletePrincipal(ctx, args[0], p.GetEtag()); err != nil {
				return err
			}
			return a.result(&controlv1.DeletePrincipalResponse{}, func() { a.out.Line("%s has no role any more", args[0]) })
		})}
}

func (a *app) whoamiCommand() *cobra.Command {
	return &cobra.Command{Use: "whoami", Short: "Show your principal and role", Args: cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			me, err := cp.WhoAmI(ctx)
			if err != nil {
				return err
			}
			return a.result(me, func() {
				a.out.Fields([2]string{"principal", me.GetPrincipal()}, [2]string{"role", dash(roleText(me.GetRole(), me.GetReadOnly()))},
					[2]string{"of", dash(me.GetTenant() + me.GetRegion())}, [2]string{"by", me.GetCredential()}, [2]string{"until", stamp(me.GetExpiresAt())})
				if me.GetRole() == "" {
					a.err.Line("you have no role yet; a security officer gives you one: domicile principals bind %s --role ROLE", me.GetPrincipal())
				}
			})
		})}
}

func (a *app) bootstrapCommand() *cobra.Command {
	var file string
	g := grant{role: "security_officer"}
	c := &cobra.Command{Use: "bootstrap --token-file FILE", Short: "Spend a new cluster's one-time token on the first credential", Args: cobra.NoArgs,
		Long: `The voter that led first wrote a one-time token into bootstrap-token in its data folder (mode 0600). This
draws the first token on this machine, registers it and prints it once; the one-time token is void then.
It works once and for a day; a higher bootstrap.generation in the voters' configuration makes another.`,
		Example: "  domicile bootstrap --token-file /var/lib/domicile/bootstrap-token\n  domicile bootstrap --token-file t --role operator",
		RunE: a.run(func(ctx context.Context, _ []string) error {
			if file == "" {
				return usagef("--token-file is missing: name the file bootstrap-token of the voter's data folder, or - for standard input")
			}
			token, err := a.readSecret(file)
			if err != nil {
				return err
			}
			base, err := a.need(a.controlURL, "DOMICILE_CONTROL_URL", "--control-url")
			if err != nil {
				return err
			}
			cp, err := a.controlAt(base, token)
			if err != nil {
				return err
			}
			return a.issueToken(ctx, cp, g)
		})}
	c.Flags().StringVar(&file, "token-file", "", "`file` of the one-time token; - reads standard input")
	c.Flags().StringVar(&g.role, "role", g.role, "`role` of the first credential: security_officer or operator")
	c.Flags().DurationVar(&g.lifetime, "lifetime", 0, "`time` until it runs out; left out: one day")
	return c
}
