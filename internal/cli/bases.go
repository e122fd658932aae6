package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

func (a *app) basesCommand() *cobra.Command {
	return group("bases", "Legal bases of transfers: what relies on each, and how to stop it",
		a.basesList(), a.basesGet(), a.basesFlows(), a.basesRevoke(), a.basesPut(), a.basesGrant())
}

func (a *app) basesList() *cobra.Command {
	var filter string
	return filtered(&filter, &cobra.Command{Use: "list", Short: "List the transfer bases", Args: cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			bs, err := cp.Bases(ctx, filter)
			if err != nil {
				return err
			}
			return list(a, "bases", bs, func() {
				rows := make([][]string, 0, len(bs))
				for _, b := range bs {
					rows = append(rows, []string{b.GetId(), a.basisState(b), dash(stamp(b.GetExpiresAt())), number(b.GetGrant().GetSequence()), dash(stamp(b.GetDrillTime()))})
				}
				a.out.Table([]string{"BASIS", "STATE", "EXPIRES", "GRANTS", "LAST DRILL"}, rows)
			})
		})})
}

// basisState is the state as of now: an end that has passed counts, whatever the state says.
func (a *app) basisState(b *controlv1.Basis) string {
	switch end := b.GetExpiresAt(); {
	case b.GetState() != "active":
		return a.out.Bad(b.GetState())
	case end != nil && !time.Now().Before(end.AsTime()):
		return a.out.Bad("run out")
	}
	return a.out.Good("active")
}

func (a *app) showBasis(b *controlv1.Basis) {
	a.out.Fields([2]string{"basis", b.GetId()}, [2]string{"state", a.basisState(b)}, [2]string{"expires", dash(stamp(b.GetExpiresAt()))},
		[2]string{"grants", number(b.GetGrant().GetSequence())}, [2]string{"last drill", dash(stamp(b.GetDrillTime()))})
}

func (a *app) basesGet() *cobra.Command {
	return &cobra.Command{Use: "get BASIS", Short: "Show one transfer basis", Args: cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			b, err := cp.Basis(ctx, args[0])
			if err != nil {
				return err
			}
			return a.result(b, func() { a.showBasis(b) })
		})}
}

func (a *app) basesFlows() *cobra.Command {
	return &cobra.Command{Use: "flows BASIS", Short: "List every flow that relies on a basis", Args: cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			flows, err := cp.BasisFlows(ctx, args[0], "")
			if err != nil {
				return err
			}
			return list(a, "flows", flows, func() { a.showFlows(flows) })
		})}
}

func (a *app) showFlows(flows []*controlv1.BasisFlow) {
	if a.none(len(flows), "flows", "nothing relies on this basis") {
		return
	}
	rows := make([][]string, 0, len(flows))
	for _, f := range flows {
		rows = append(rows, []string{f.GetTenant(), f.GetFromRegion(), dash(f.GetToRegion()), f.GetEgressClass(), dash(f.GetPurpose()), dash(f.GetRecipient())})
	}
	a.out.Table([]string{"TENANT", "FROM", "TO", "EGRESS CLASS", "PURPOSE", "RECIPIENT"}, rows)
}

func (a *app) basesRevoke() *cobra.Command {
	var enforce bool
	c := &cobra.Command{Use: "revoke BASIS [--enforce]", Short: "Show what a revocation would stop; with --enforce, stop it", Args: cobra.ExactArgs(1),
		Long: `Without --enforce this is a drill: it stops nothing, lists every flow that relies on the basis, and notes
when it was done. With --enforce every such flow stops at once, at the sender and at the receiver,
transfers that were frozen before included: those become gaps and never leave, also after the basis
is open again. A node that cannot be heard stops by itself within 61 s; until then it is named, with
the time. The same command again says how far it has come.

To open a basis again, the holder of the operator's root signs a grant offline (domicile bases grant)
and an operator brings it (domicile bases put --state active --grant FILE).`,
		Example: "  domicile bases revoke ADEQUACY-DPF\n  domicile bases revoke ADEQUACY-DPF --enforce",
		RunE: a.run(func(ctx context.Context, args []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			r, err := cp.RevokeBasis(ctx, &controlv1.RevokeBasisRequest{Basis: args[0], Enforce: enforce})
			if err != nil {
				return err
			}
			if r.GetNextPageToken() != "" {
				rest, err := cp.BasisFlows(ctx, args[0], r.GetNextPageToken())
				if err != nil {
					return err
				}
				r.Flows, r.NextPageToken = append(r.Flows, rest...), ""
			}
			return a.result(r, func() {
				a.showFlows(r.GetFlows())
				if !r.GetEnforced() {
					a.err.Line("a drill: nothing was stopped; %d flows of %d tenants rely on %s", len(r.GetFlows()), r.GetTenants(), args[0])
					return
				}
				a.showReach(r)
			})
		})}
	c.Flags().BoolVar(&enforce, "enforce", false, "stop every flow that relies on the basis, now")
	return c
}

// showReach says which nodes may still export under a basis that was revoked, and until when.
func (a *app) showReach(r *controlv1.RevokeBasisResponse) {
	basis, end := r.GetBasis().GetId(), stamp(r.GetExportsEndTime())
	if r.GetUnheardNodes() == 0 {
		a.err.Line("%s is revoked, and every node of every region has confirmed it", basis)
		return
	}
	if r.GetDistributed() {
		a.err.Line("%s is revoked, and nothing leaves under it: each node has confirmed it, but %d that had to stop by themselves at %s", basis, r.GetUnheardNodes(), end)
	} else {
		a.err.Line("%s is revoked, and not everywhere: nodes that have not confirmed it may export under it until %s (%d)", basis, end, r.GetUnheardNodes())
	}
	for _, n := range r.GetUnheard() {
		stream := "no stream"
		if n.GetConnected() {
			stream = "on its way"
		}
		a.err.Line("  %s of %s: %s, heard last: %s", n.GetNode(), n.GetRegion(), stream, stamp(n.GetLastContact()))
	}
	if more := int(r.GetUnheardNodes()) - len(r.GetUnheard()); more > 0 {
		a.err.Line("  and %d more", more)
	}
	if !r.GetDistributed() {
		a.err.Line("next: domicile bases revoke %s --enforce, after that time; domicile nodes list", basis)
	}
}

func (a *app) basesPut() *cobra.Command {
	var state, expires, grant string
	c := &cobra.Command{Use: "put BASIS --state STATE [--expires TIME] [--grant FILE]", Short: "Add or change a transfer basis", Args: cobra.ExactArgs(1),
		Long: `What closes a basis, or lets it end sooner, applies at once. What opens it, or keeps it open for longer,
needs a grant that the holder of the operator's root signed offline: 409 LOOSENING_NEEDS_APPROVAL
without one, with the sequence that the grant must name.`,
		RunE: a.run(func(ctx context.Context, args []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			spec := &controlv1.BasisSpec{State: state}
			if spec.ExpiresAt, err = momentOf("--expires", expires); err != nil {
				return err
			}
			if grant != "" {
				spec.Grant = &controlv1.BasisGrant{}
				if err := a.readProto(grant, spec.Grant); err != nil {
					return err
				}
			}
			etag := ""
			if old, err := cp.Basis(ctx, args[0]); err == nil {
				etag = old.GetEtag()
			} else if !isNotFound(err) {
				return err
			}
			b, err := cp.PutBasis(ctx, args[0], spec, etag)
			if err != nil {
				return err
			}
			return a.result(b, func() { a.showBasis(b) })
		})}
	f := c.Flags()
	f.StringVar(&state, "state", "", "`state`: active, revoked or expired")
	f.StringVar(&expires, "expires", "", "`time` at which the basis runs out, RFC 3339; left out: never")
	f.StringVar(&grant, "grant", "", "`file` that `domicile bases grant` wrote")
	return c
}
