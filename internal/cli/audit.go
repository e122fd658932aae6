package cli

import (
	"context"
	"encoding/hex"
	"math"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/audit/verify"
	"github.com/domicile-io/domicile/policy"
)

func (a *app) auditCommand() *cobra.Command {
	return group("audit", "Read the log of every change, and check that nothing in it was changed or left out",
		a.auditList(), a.auditCheckpoint(), a.auditProve(), a.auditVerify())
}

// checkpointWait is how long a checkpoint may lag behind the log.
const checkpointWait = 5 * time.Second

// newestCheckpoint asks for a checkpoint that covers every record of this
// moment. A checkpoint shows what the asked voter has applied, which may be a
// little behind the leader that the log is read from.
func newestCheckpoint(ctx context.Context, cp *client.Control) (*controlv1.Checkpoint, error) {
	now, err := cp.AuditLeaves(ctx, 0, 1, "")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, checkpointWait)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := cp.AuditCheckpoint(ctx)
		if err != nil {
			return nil, err
		}
		// A note that does not open is whoever checks it to report.
		if at, err := signedOf(c).open(nil); err != nil || at.Size >= now.GetSize() {
			return c, nil
		}
		select {
		case <-ctx.Done():
			return c, nil // the asked voter is far behind: what it shows is still signed
		case <-tick.C:
		}
	}
}

func (a *app) auditList() *cobra.Command {
	var start, count uint64
	var filter string
	var log regionLog
	c := filtered(&filter, &cobra.Command{Use: "list", Short: "List the log's records: who changed what, when", Args: cobra.NoArgs,
		Long: `Lists what the newest checkpoint covers; with --region, what a region's log says of the key's tenant. With -o json the checkpoint and the exact records are
printed, in a file that "domicile audit verify --leaves" checks without any server; not so with --filter, which is for looking things up
in the control plane's log.`,
		Example: "  domicile audit list -o json > audit.json\n  domicile audit list --filter 'action = \"key.delete\"'",
		RunE: a.run(func(ctx context.Context, _ []string) error {
			if log.name != "" && filter != "" {
				return usagef("--filter is for the control plane's log: a region's has none")
			}
			if log.name != "" {
				return a.regionList(ctx, log, start, count)
			}
			cp, err := a.control()
			if err != nil {
				return err
			}
			newest, err := newestCheckpoint(ctx, cp)
			if err != nil {
				return err
			}
			out := auditFile{Checkpoint: signedOf(newest), Leaves: []string{}, Slugs: map[string]string{}, Withdrawals: map[string][]policy.Withdrawal{}}
			at, err := out.Checkpoint.open(nil)
			if err != nil {
				return a.finding(err)
			}
			end := at.Size
			if count > 0 && count < end-min(start, end) {
				end = start + count
			}
			if err := eachLeaf(ctx, cp, start, end, filter, out.add); err != nil {
				return a.finding(err)
			}
			return a.plain(out, func() { a.showLeaves(out.Leaves) })
		})})
	c.Flags().Uint64Var(&start, "start", 0, "first record's `number`, from 0")
	c.Flags().Uint64Var(&count, "count", 0, "at most this `number` of records; 0: all")
	logFlags(c, &log)
	return c
}

func (a *app) showLeaves(records []string) {
	if a.none(len(records), "records", "the log ends before --start, or nothing meets --filter") {
		return
	}
	rows := make([][]string, 0, len(records))
	for i, r := range records {
		l, err := verify.ParseLeaf([]byte(r))
		if err != nil {
			rows = append(rows, []string{"?", "not readable: run domicile audit verify", "", "", "", "record " + number(i) + " of this list"})
			continue
		}
		rows = append(rows, []string{number(l.Index), when(l.Time), l.Action, l.Resource, l.Actor, number(l.Revision)})
	}
	a.out.Table([]string{"INDEX", "TIME", "ACTION", "RESOURCE", "ACTOR", "REVISION"}, rows)
}

func (a *app) auditCheckpoint() *cobra.Command {
	var log regionLog
	c := &cobra.Command{Use: "checkpoint", Short: "Print the log's signed size and root; needs no credential", Args: cobra.NoArgs,
		Long: `Prints the newest checkpoint, a signed note. Keep it, with -o json, somewhere that the operator of the
control plane cannot reach: "domicile audit verify --since" then proves that nothing it covers was
changed afterwards.`,
		Example: "  domicile audit checkpoint -o json > checkpoint-2026-03.json\n  domicile audit checkpoint --region ie1 -o json > ie1-2026-03.json",
		RunE: a.run(func(ctx context.Context, _ []string) error {
			if log.name != "" {
				return a.regionCheckpoint(ctx, log)
			}
			cp, err := a.openControl()
			if err != nil {
				return err
			}
			c, err := cp.AuditCheckpoint(ctx)
			if err != nil {
				return err
			}
			s := signedOf(c)
			if _, err := s.open(nil); err != nil {
				return a.finding(err)
			}
			return a.plain(s, func() { a.out.Line("%s", s.Note[:len(s.Note)-1]) })
		})}
	logFlags(c, &log)
	return c
}

// provenLeaf is what `audit prove -o json` prints: all that a check needs.
type provenLeaf struct {
	Checkpoint signed   `json:"checkpoint"`
	Index      uint64   `json:"index"`
	Leaf       string   `json:"leaf"`
	Hashes     []string `json:"hashes"`
	RootKey    bool     `json:"root_key_checked"`
}

func (a *app) auditProve() *cobra.Command {
	var root string
	var log regionLog
	c := &cobra.Command{Use: "prove INDEX", Short: "Prove that one record is in the log, without reading all of it", Args: cobra.ExactArgs(1),
		RunE: a.run(func(ctx context.Context, args []string) error {
			index, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil || index > math.MaxInt64 {
				return usagef("INDEX is the number of a record, from 0: domicile audit list shows them")
			}
			if log.name != "" {
				return a.regionProve(ctx, log, index)
			}
			trusted, err := a.rootKey(root)
			if err != nil {
				return err
			}
			cp, err := a.control()
			if err != nil {
				return err
			}
			newest, err := newestCheckpoint(ctx, cp)
			if err != nil {
				return err
			}
			s := signedOf(newest)
			at, err := s.open(trusted)
			if err != nil {
				return a.finding(err)
			}
			p, err := cp.AuditProof(ctx, index, at.Size)
			if err != nil {
				return err
			}
			if err := checkProof(at, index, p.GetLeaf(), p.GetHashes()); err != nil {
				return a.finding(err)
			}
			out := provenLeaf{Checkpoint: s, Index: index, Leaf: p.GetLeaf(), Hashes: p.GetHashes(), RootKey: trusted != nil}
			return a.plain(out, func() {
				a.showLeaves([]string{p.GetLeaf()})
				a.out.Check("the record is number %d of the %d that the checkpoint covers; %d hashes prove it", index, at.Size, len(p.GetHashes()))
				a.sayKey(trusted != nil)
			})
		})}
	rootFlag(c, &root)
	logFlags(c, &log)
	return c
}

// checkProof checks an inclusion proof and that the leaf says the same index.
func checkProof(at verify.Checkpoint, index uint64, leaf string, hashes []string) error {
	proof := make([]verify.Hash, len(hashes))
	for i, h := range hashes {
		b, err := hex.DecodeString(h)
		if err != nil || len(b) != len(proof[i]) {
			return &verify.Finding{Kind: verify.BadProof, Index: index, Why: "a hash of the proof is malformed"}
		}
		proof[i] = verify.Hash(b)
	}
	if err := verify.Inclusion(at, index, verify.RecordHash([]byte(leaf)), proof); err != nil {
		return err
	}
	l, err := verify.ParseLeaf([]byte(leaf))
	if err == nil && l.Index != index {
		err = &verify.Finding{Kind: verify.OutOfOrder, Index: index, Why: "the record says that it has another number"}
	}
	return err
}
