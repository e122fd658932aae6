package cli

import (
	"bufio"
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

// errBlocked ends the command; the table has said why.
var errBlocked = errors.New("something blocks this placement")

// readLine reads one line that a person typed.
func (a *app) readLine() string {
	line, _ := bufio.NewReader(a.in).ReadString('\n')
	return strings.TrimSpace(line)
}

func (a *app) tenantsCheckPlacement() *cobra.Command {
	in := &controlv1.CheckPlacementRequest{}
	c := &cobra.Command{Use: "check-placement TENANT --region REGION", Short: "Say what would block or differ if a tenant lived in a region", Args: cobra.ExactArgs(1),
		Long: "Changes nothing. Exit code 1 when something blocks.",
		RunE: a.run(func(ctx context.Context, args []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			if in.Tenant = args[0]; in.Region == "" {
				return usagef("--region is missing: name the region to look at")
			}
			r, err := cp.CheckPlacement(ctx, in)
			if err != nil {
				return err
			}
			if err := a.result(r, func() { a.showPlacement(r) }); err != nil {
				return err
			}
			if !r.GetPossible() {
				return errBlocked
			}
			return nil
		})}
	c.Flags().StringVar(&in.Region, "region", "", "`region` to look at")
	c.Flags().StringSliceVar(&in.Features, "feature", nil, "`feature` that it must have; may be repeated")
	c.Flags().StringSliceVar(&in.Certifications, "certification", nil, "`code` that each wanted feature must have there; may be repeated")
	return c
}

func (a *app) showPlacement(r *controlv1.CheckPlacementResponse) {
	if len(r.GetFindings()) > 0 {
		rows := make([][]string, 0, len(r.GetFindings()))
		for _, f := range r.GetFindings() {
			severity := a.out.Warn(f.GetSeverity())
			if f.GetSeverity() == "blocks" {
				severity = a.out.Bad(f.GetSeverity())
			}
			rows = append(rows, []string{severity, f.GetCode(), f.GetSubject()})
		}
		a.out.Table([]string{"", "CODE", "SUBJECT"}, rows)
	}
	if r.GetPossible() {
		a.err.Line("nothing blocks")
	}
}
