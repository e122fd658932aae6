package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

// maxTenantFile is the greatest file of tenants that is read, in bytes.
const maxTenantFile = 256 << 20

func (a *app) tenantsImport() *cobra.Command {
	var check, background bool
	c := &cobra.Command{Use: "import FILE", Short: "Place many tenants from a CSV or NDJSON file", Args: cobra.ExactArgs(1),
		Long: `Places the tenants of a file, 250 in a call. A CSV file begins with the line slug,home_region,billing_country;
an NDJSON file holds one tenant a line as the API takes it, with a policy if it has one. - reads standard input.
All of it is read before anything is placed. Each tenant has its own outcome: one that is refused, because its slug is
taken say, leaves the others as they are, and the command then ends with code 1. Run it again after an interruption:
what was placed is then refused with ALREADY_EXISTS.`,
		Example: "  domicile tenants import tenants.csv\n  domicile tenants import --check tenants.ndjson",
		RunE: a.run(func(ctx context.Context, args []string) error {
			all, err := a.readTenants(args[0])
			if err != nil {
				return err
			}
			if check {
				a.out.Check("%d tenants can be read from %s; nothing was placed", len(all), args[0])
				return nil
			}
			cp, err := a.control()
			if err != nil {
				return err
			}
			if background {
				return a.importBehind(ctx, cp, all)
			}
			return a.placeAll(ctx, cp, all)
		})}
	c.Flags().BoolVar(&background, "background", false, "hand the whole file to the control plane, which goes on when this command has ended; at most 5,000 tenants and 1 MiB")
	c.Flags().BoolVar(&check, "check", false, "read the file only, and place nothing")
	return c
}

// importBehind lets the control plane place them by itself.
func (a *app) importBehind(ctx context.Context, cp *client.Control, all []*controlv1.CreateTenantRequest) error {
	if len(all) > client.MaxImport {
		return usagef("the file holds %d tenants, and --background takes %d: leave it out, or split the file", len(all), client.MaxImport)
	}
	op, err := cp.ImportTenants(ctx, all)
	if err != nil {
		return err
	}
	return a.outcome(ctx, cp, op, 0)
}

// placeAll places tenants batch by batch and shows what was refused.
func (a *app) placeAll(ctx context.Context, cp *client.Control, all []*controlv1.CreateTenantRequest) error {
	bar := progressbar.DefaultSilent(int64(len(all)))
	if a.err.Terminal() {
		bar = progressbar.NewOptions(len(all), progressbar.OptionSetWriter(a.err.Writer()), progressbar.OptionSetDescription("placing tenants"),
			progressbar.OptionShowCount(), progressbar.OptionClearOnFinish())
	}
	out := &controlv1.BatchCreateTenantsResponse{}
	var refused [][]string
	for from := 0; from < len(all); from += client.MaxBatch {
		part := all[from:min(from+client.MaxBatch, len(all))]
		got, err := cp.CreateTenants(ctx, part)
		if err != nil {
			return errors.Join(bar.Exit(), fmt.Errorf("%d of %d were worked off, then: %w", from, len(all), err))
		}
		for i, o := range got {
			if o.GetReason() != "" {
				refused = append(refused, []string{number(uint64(from + i + 1)), part[i].GetSlug(), o.GetReason()})
			}
		}
		out.Outcomes = append(out.Outcomes, got...)
		_ = bar.Add(len(part)) // only drawn
	}
	_ = bar.Finish()
	if err := a.result(out, func() {
		a.out.Check("%d of %d tenants are placed", len(all)-len(refused), len(all))
		if len(refused) > 0 {
			a.out.Table([]string{"NO", "TENANT", "REFUSED"}, refused)
		}
	}); err != nil {
		return err
	}
	if len(refused) > 0 {
		return fmt.Errorf("%d of %d tenants were refused: the others are placed", len(refused), len(all))
	}
	return nil
}

// readTenants reads all of a file, so that a bad line stops it before anything is done.
func (a *app) readTenants(path string) ([]*controlv1.CreateTenantRequest, error) {
	in := a.in
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, usagef("the file cannot be read: %v", err)
		}
		defer f.Close()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxTenantFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", path, err)
	case len(raw) > maxTenantFile:
		return nil, usagef("%s is larger than %d bytes: split it", path, maxTenantFile)
	}
	read := tenantsFromCSV
	if bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) {
		read = tenantsFromJSON
	}
	all, err := read(raw)
	if err == nil && len(all) == 0 {
		err = errors.New("it holds no tenant")
	}
	if err != nil {
		return nil, usagef("%s: %v; nothing was placed", path, err)
	}
	return all, nil
}

const tenantColumns = "slug,home_region,billing_country"

func tenantsFromCSV(raw []byte) (all []*controlv1.CreateTenantRequest, err error) {
	r := csv.NewReader(bytes.NewReader(raw))
	for line := 1; ; line++ {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		if line == 1 {
			if strings.Join(row, ",") != tenantColumns {
				return nil, errors.New("its first line must be " + tenantColumns)
			}
			continue
		}
		all = append(all, &controlv1.CreateTenantRequest{Slug: row[0], HomeRegion: row[1], BillingCountry: row[2]})
	}
}

func tenantsFromJSON(raw []byte) (all []*controlv1.CreateTenantRequest, err error) {
	lines := bufio.NewScanner(bytes.NewReader(raw))
	lines.Buffer(nil, maxPolicyFile)
	for n := 1; lines.Scan(); n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		one := &controlv1.CreateTenantRequest{}
		if err := protojson.Unmarshal(lines.Bytes(), one); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		all = append(all, one)
	}
	return all, lines.Err()
}
