package story

import (
	"context"
	"slices"

	"github.com/domicile-io/domicile/internal/screen"
	"github.com/domicile-io/domicile/policy"
)

// ledger shows what left Ireland, and checks that the only classes that cross
// the boundary are those the policy opens.
func (t *teller) ledger(ctx context.Context) error {
	h := t.homes[0]
	l, err := h.client.Egress(ctx)
	if notYet(err) {
		t.Screen.Note("not yet: this version does not show the ledger")
		return nil
	}
	if err != nil {
		return err
	}
	allowed := []string{policy.ControlStream.String(), policy.PseudonymisedExport.String(), policy.CustomerAPI.String()}
	customers, foreign := 0, 0
	for _, e := range l.Entries {
		t.Screen.Line("      %-20s %-15s %-4s %10s out %10s in  %s", e.Class, e.Destination, orDash(e.Region), screen.Bytes(e.BytesOut), screen.Bytes(e.BytesIn), orDash(e.Basis))
		if e.Class == policy.CustomerAPI.String() {
			customers++
		}
		itself := e.Class == policy.Telemetry.String() && e.Region == h.region // the node tests its own ports
		if !slices.Contains(allowed, e.Class) && !itself {
			foreign++
		}
	}
	if err := t.check(l.Region == h.region && customers > 0, "%s counts every connection it dialled or accepted, by class, place and basis", h.region); err != nil {
		return err
	}
	if err := t.check(foreign == 0, "nothing left by any other class than the policy's"); err != nil {
		return err
	}
	t.command("egress")
	return nil
}
