package cli

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/api/data"
)

func (a *app) subjectsCertificates() *cobra.Command {
	return &cobra.Command{Use: "certificates [CERTIFICATE]", Short: "Show a certificate of an erasure, or list all", Args: cobra.MaximumNArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			r, err := a.region()
			if err != nil {
				return err
			}
			if len(args) == 1 {
				c, err := r.Certificate(ctx, args[0])
				if err != nil {
					return err
				}
				return a.plain(c, func() { a.showCertificate(c) })
			}
			all := data.Certificates{Certificates: []data.Certificate{}}
			for token := ""; ; {
				page, err := r.Certificates(ctx, token)
				if err != nil {
					return err
				}
				all.Certificates = append(all.Certificates, page.Certificates...)
				if token = page.NextPageToken; token == "" {
					break
				}
			}
			return a.plain(all, func() {
				if a.none(len(all.Certificates), "certificates", "nobody was erased") {
					return
				}
				rows := make([][]string, 0, len(all.Certificates))
				for _, c := range all.Certificates {
					rows = append(rows, []string{c.ID, c.State, when(c.Created), whenP(c.Executed), whenP(c.Final),
						fmt.Sprint(c.Counts.Dropped + c.Counts.Redacted), dash(strings.Join(c.Waits, ", "))})
				}
				a.out.Table([]string{"CERTIFICATE", "STATE", "BEGUN", "EXECUTED", "FINAL", "CALLS", "WAITS FOR"}, rows)
			})
		})}
}

func (a *app) showCertificate(c data.Certificate) {
	n := c.Counts
	subjects := make([]string, 0, len(c.Owners))
	for _, o := range c.Owners {
		subjects = append(subjects, o.Subject)
	}
	fields := [][2]string{{"certificate", c.ID}, {"state", c.State}, {"region", c.Region}, {"subjects", strings.Join(subjects, ", ")},
		{"begun", when(c.Created)}, {"executed", whenP(c.Executed)}, {"final", whenP(c.Final)},
		{"calls", fmt.Sprintf("%d dropped, %d redacted, %d versions", n.Dropped, n.Redacted, n.Versions)},
		{"sealed anew", fmt.Sprintf("%d chunks, %d keys destroyed", n.Chunks, n.Keys)},
		{"destroyed", fmt.Sprintf("%d recordings, %d transcripts, %d quarantined payloads", n.Recordings, n.Transcripts, n.Quarantined)},
		{"exports", fmt.Sprintf("%d rows withdrawn, %d tombstones, %d rows deleted by recipients", n.Withdrawn, n.Tombstones, n.Deleted)},
		{"kept", c.Kept}}
	if len(c.Waits) > 0 {
		fields = append(fields, [2]string{"final waits for", strings.Join(c.Waits, ", ")})
	}
	if c.Problem != "" {
		fields = append(fields, [2]string{"problem", c.Problem + "; it is tried again at step " + c.Step})
	}
	for _, s := range c.Signed {
		fields = append(fields, [2]string{"signed " + s.State, s.Node + " " + base64.StdEncoding.EncodeToString(s.Value)})
	}
	a.out.Fields(fields...)
}
