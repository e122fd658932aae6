package cli

import (
	"context"
	"crypto/rand"

	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

func (a *app) recipientsCommand() *cobra.Command {
	return group("recipients", "Show who may receive a tenant's pseudonymised exports",
		a.recipientsList(), a.recipientsGet(), a.recipientsPut(), a.recipientsKey())
}

var recipientHeader = []string{"RECIPIENT", "REGION", "PURPOSE", "K", "M", "ASSESSED UNTIL"}

func recipientRows(rs []*controlv1.Recipient) [][]string {
	rows := make([][]string, 0, len(rs))
	for _, r := range rs {
		rows = append(rows, []string{r.GetId(), r.GetRegion(), r.GetPurpose(), number(r.GetThreshold()), number(r.GetColluding()), stamp(r.GetAssessmentExpiry())})
	}
	return rows
}

func (a *app) recipientsList() *cobra.Command {
	var filter string
	return filtered(&filter, &cobra.Command{Use: "list TENANT", Short: "List a tenant's recipients", Args: cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			rs, err := cp.Recipients(ctx, args[0], filter)
			if err != nil {
				return err
			}
			return list(a, "recipients", rs, func() {
				if !a.none(len(rs), "recipients", "nothing of this tenant is exported") {
					a.out.Table(recipientHeader, recipientRows(rs))
				}
			})
		})})
}

func (a *app) recipientsGet() *cobra.Command {
	return &cobra.Command{Use: "get TENANT RECIPIENT", Short: "Show one recipient", Args: cobra.ExactArgs(2),
		RunE: a.run(func(ctx context.Context, args []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			r, err := cp.Recipient(ctx, args[0], args[1])
			if err != nil {
				return err
			}
			return a.result(r, func() {
				a.out.Table(recipientHeader, recipientRows([]*controlv1.Recipient{r}))
				a.out.Line("assessment %s", r.GetAssessmentHash())
			})
		})}
}

func (a *app) recipientsPut() *cobra.Command {
	return &cobra.Command{Use: "put TENANT FILE", Short: "Declare a recipient from a JSON file; waits for approval", Args: cobra.ExactArgs(2),
		Long: `Declares a recipient: FILE holds {"id": "RP…", "region": "us1", "purpose": "fraud", "threshold": 10, "colluding": 3,
"assessment_hash": "…", "assessment_expiry": "2030-01-01T00:00:00Z"}. The id is yours to draw: RP and 32 hex digits.
The hash is the SHA-256 of the transfer's assessment, which stays with you. It loosens the policy, so it is refused
with LOOSENING_NEEDS_APPROVAL and becomes a pending change.`,
		RunE: a.run(func(ctx context.Context, args []string) error {
			r := &controlv1.Recipient{}
			if err := a.readProto(args[1], r); err != nil {
				return err
			}
			if r.GetId() == "" {
				return usagef("the recipient has no id: give RP and 32 hex digits")
			}
			cp, err := a.control()
			if err != nil {
				return err
			}
			p, err := cp.Policy(ctx, args[0])
			if err != nil {
				return err
			}
			if r, err = cp.PutRecipient(ctx, args[0], r, p.GetEtag()); err != nil {
				return err
			}
			return a.result(r, func() { a.out.Table(recipientHeader, recipientRows([]*controlv1.Recipient{r})) })
		})}
}

func (a *app) recipientsKey() *cobra.Command {
	return &cobra.Command{Use: "key TENANT RECIPIENT", Short: "Make a recipient's key on this machine and register its hash", Args: cobra.ExactArgs(2),
		Long: "Draws a key that opens only GET /v1/received in the recipient's region, and prints it once.",
		RunE: a.run(func(ctx context.Context, args []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			r, err := cp.Recipient(ctx, args[0], args[1])
			if err != nil {
				return err
			}
			s, err := client.NewSecret(r.GetRegion(), rand.Reader)
			if err != nil {
				return err
			}
			k, err := cp.CreateRecipientKey(ctx, &controlv1.CreateRecipientKeyRequest{Tenant: args[0], Recipient: args[1], SecretSha256: s.SHA256, KeyId: s.KeyID})
			if err != nil {
				return err
			}
			k.Secret = s.Key
			return a.result(k, func() {
				a.out.Line("%s", s.Key)
				a.err.Line("key %s opens only what was sent to %s in %s; it is not shown again", k.GetId(), k.GetRecipient(), k.GetRegion())
				if shown, err := cp.Key(ctx, args[0], k.GetId()); err == nil && shown.GetSigning() == "refused" {
					a.err.Line("nodes refuse it until it is signed: domicile keys sign %s %s --key FILE", args[0], k.GetId())
				}
			})
		})}
}
