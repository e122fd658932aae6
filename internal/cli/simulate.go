package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/internal/screen"
	"github.com/domicile-io/domicile/policy"
)

// simulated is what `simulate` prints: each region's answer and their sum.
type simulated struct {
	Regions []data.Simulation `json:"regions"`
	Total   simulatedTotal    `json:"total"`
}

type simulatedTotal struct {
	Happened data.Tally `json:"happened"` // acknowledged, queued and refused
	Allowed  data.Tally `json:"allowed"`
	Denied   data.Tally `json:"denied"`
	Cut      bool       `json:"cut"` // by some region
}

func (a *app) simulateCommand() *cobra.Command {
	var tenant, file string
	var days int
	var regions []string
	c := &cobra.Command{Use: "simulate --tenant TENANT --policy FILE", Short: "See what a proposed policy would have let leave of what left", Args: cobra.NoArgs,
		Long: `Replays the transfers of the last days, UTC, today included, against proposed rules, and shows by
recipient, egress class and basis what happened, what would have been allowed, and what would have
been denied with every reason. It changes nothing and moves nothing.

Each region answers for itself, because its ledger lives there; without --region, the one of the
key, which is the tenant's home. A region's key is DOMICILE_<REGION>_KEY, else DOMICILE_KEY or
--key. One region that does not answer fails the command: a part is not shown as the whole.

It knows transfers only: rows that a policy or the singling-out gate kept back never became one.`,
		Example: "  domicile policies get acme-ie --rules >rules.json    # edit it\n  domicile simulate --tenant acme-ie --policy rules.json --days 30",
		RunE: a.run(func(ctx context.Context, _ []string) error {
			if tenant == "" || file == "" {
				return usagef("give --tenant, and --policy with a file of rules such as `domicile policies get %s --rules` prints", dash(tenant))
			}
			rules := &controlv1.PolicyRules{}
			if err := a.readProto(file, rules); err != nil {
				return err
			}
			raw, err := protojson.Marshal(rules)
			if err != nil {
				return fmt.Errorf("encode the rules: %w", err)
			}
			out, err := a.simulate(ctx, tenant, regions, data.SimulateRequest{Policy: raw, Days: days})
			if err != nil {
				return err
			}
			return a.plain(out, func() { a.showSimulation(out) })
		})}
	f := c.Flags()
	f.StringVar(&tenant, "tenant", "", "`tenant`, id or slug, whose key this is")
	f.StringVar(&file, "policy", "", "JSON `file` of the proposed rules; - reads standard input")
	f.IntVar(&days, "days", 30, "`number` of days to replay, 1 to 90")
	f.StringSliceVar(&regions, "region", nil, "`region` to ask; may stand several times; default: the key's")
	return c
}

// simulate asks every region and adds up.
func (a *app) simulate(ctx context.Context, tenant string, regions []string, in data.SimulateRequest) (simulated, error) {
	asked, err := a.regionsOf(regions)
	if err != nil {
		return simulated{}, err
	}
	var out simulated
	for _, r := range asked {
		s, err := r.Simulate(ctx, in)
		if err != nil {
			return simulated{}, err
		}
		if s.Tenant != tenant && s.Slug != tenant {
			return simulated{}, usagef("the key for %s is %s's, not %s's; give the key of the tenant whose policy is proposed", s.Region, s.Slug, tenant)
		}
		out.Regions = append(out.Regions, s)
		out.Total.Cut = out.Total.Cut || s.Cut
		for i := range s.Flows {
			out.Total.Happened.Add(happened(&s.Flows[i]))
			out.Total.Allowed.Add(s.Flows[i].Allowed)
			out.Total.Denied.Add(s.Flows[i].Denied)
		}
	}
	return out, nil
}

func happened(f *data.SimulatedFlow) (t data.Tally) {
	for _, x := range []data.Tally{f.Acknowledged, f.Queued, f.Refused} {
		t.Add(x)
	}
	return t
}

// regionsOf gives a client for each region named, once; for the key's when none is.
func (a *app) regionsOf(names []string) ([]*client.Region, error) {
	if len(names) == 0 {
		r, err := a.region()
		return []*client.Region{r}, err
	}
	slices.Sort(names)
	var out []*client.Region
	for _, name := range slices.Compact(names) {
		id, err := policy.ParseRegionID(name)
		if err != nil {
			return nil, usagef("--region: %v", err)
		}
		upper := strings.ToUpper(string(id))
		key, err := a.setting("", "DOMICILE_"+upper+"_KEY")
		if err == nil && key == "" {
			key, err = a.need(a.key, "DOMICILE_KEY", "--key")
		}
		if err != nil {
			return nil, err
		}
		base, err := a.need("", "DOMICILE_"+upper+"_URL", "the environment")
		if err != nil {
			return nil, err
		}
		hc, err := a.http()
		if err != nil {
			return nil, err
		}
		out = append(out, &client.Region{BaseURL: base, Key: key, HTTP: hc})
	}
	return out, nil
}

func (a *app) showSimulation(s simulated) {
	var rows [][]string
	for i := range s.Regions {
		r := &s.Regions[i]
		for j := range r.Flows {
			f := &r.Flows[j]
			reasons := make([]string, 0, len(f.Reasons))
			for _, x := range f.Reasons {
				reasons = append(reasons, x.Rule+" "+number(x.Transfers))
			}
			rows = append(rows, []string{r.Region, f.Recipient, f.ToRegion, f.EgressClass, f.Basis, dash(f.NewBasis),
				tally(f.Acknowledged), tally(f.Queued), tally(f.Refused), tally(f.Allowed), tally(f.Denied), dash(strings.Join(reasons, ", "))})
		}
		if r.Cut {
			a.err.Line("%s stopped after %d transfers, at %s: ask for fewer days to see the rest", r.Region, r.Replayed, when(r.Until))
		}
	}
	if a.none(len(rows), "transfers in these days", "nothing of this tenant was exported, so there is nothing to replay") {
		return
	}
	a.out.Table([]string{"REGION", "RECIPIENT", "TO", "CLASS", "BASIS", "NEW BASIS", "LEFT", "WAITS", "REFUSED", "ALLOWED", "DENIED", "REASONS"}, rows)
	a.out.Line("")
	a.out.Line("of %s: allowed %s, denied %s (transfers/rows/bytes)", tally(s.Total.Happened), tally(s.Total.Allowed), tally(s.Total.Denied))
}

// tally is transfers/rows/bytes.
func tally(t data.Tally) string {
	if t.Transfers == 0 {
		return "0"
	}
	return fmt.Sprintf("%d/%d/%s", t.Transfers, t.Rows, screen.Bytes(t.Bytes))
}
