package cli

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/audit/verify"
	"github.com/domicile-io/domicile/internal/screen"
)

// auditCheck is one run of `audit verify`.
type auditCheck struct {
	leaves, checkpoint, root, save string
	since                          []string
	start                          uint64
}

// verified is what `audit verify -o json` prints of a log that is as it should be.
type verified struct {
	Verified bool     `json:"verified"`
	Origin   string   `json:"origin"`
	Size     uint64   `json:"size"`
	Root     string   `json:"root"`  // hex
	Since    []uint64 `json:"since"` // sizes of the kept checkpoints that it begins with
	RootKey  bool     `json:"root_key_checked"`
}

func (a *app) auditVerify() *cobra.Command {
	var o auditCheck
	var log regionLog
	c := &cobra.Command{Use: "verify [RECEIPT...]", Short: "Check the whole log: signature, root, order, and that it only grew",
		Args: cobra.ArbitraryArgs,
		Long: `Reads every record and computes the root itself. Whatever was changed, removed, added or moved is found,
and so is a log that was cut or rewritten since a checkpoint that you kept (--since).

With --region it checks a region's log as a tenant can: that it only grew, and that each record about the
tenant is in it; with files of receipts, those, and asks no server. With --leaves it reads files only and asks no server. The checks are those of package audit/verify, which
shares no code with what writes the log.`,
		Example: `  domicile audit verify --root-key 5f1c… --since kept.json --save kept.json
  domicile audit list -o json > audit.json && domicile audit verify --leaves audit.json --since kept.json`,
		RunE: a.run(func(ctx context.Context, args []string) error {
			switch {
			case len(args) > 0 && log.name == "":
				return usagef("receipts are checked with --region")
			case len(args) > 0:
				return a.verifyReceipts(log, args, "")
			case log.name != "" && o.leaves == "":
				return a.verifyRegion(ctx, o, log)
			}
			return a.verifyAudit(ctx, o)
		})}
	logFlags(c, &log)
	f := c.Flags()
	f.StringVar(&o.leaves, "leaves", "", "`file` of domicile audit list -o json; without it the server is asked")
	f.StringVar(&o.checkpoint, "checkpoint", "", "`file` of domicile audit checkpoint -o json; without it, the one in --leaves, or the server's newest")
	f.StringArrayVar(&o.since, "since", nil, "`file` of a checkpoint kept from before; may be repeated")
	f.Uint64Var(&o.start, "start", 0, "with --region: first record's `number` to prove")
	f.StringVar(&o.save, "save", "", "`file` to keep the checkpoint in, once everything is verified")
	rootFlag(c, &o.root)
	return c
}

// source is where records come from, and the newest checkpoint.
type source struct {
	newest signed
	each   func(end uint64, take func(string) error) error
}

func (a *app) verifyAudit(ctx context.Context, o auditCheck) error {
	root, err := a.rootKey(o.root)
	if err != nil {
		return err
	}
	src, err := a.auditSource(ctx, o)
	if err != nil {
		return err
	}
	newest, err := src.newest.open(root)
	if err != nil {
		return a.finding(err)
	}
	out := verified{Verified: true, Origin: newest.Origin, Size: newest.Size, Root: fmt.Sprintf("%x", newest.Root), Since: []uint64{}, RootKey: root != nil}
	all := []verify.Checkpoint{newest}
	for _, path := range o.since {
		c, err := a.kept(path, root)
		if err != nil {
			return a.finding(err)
		}
		if c.Size > newest.Size {
			return a.finding(&verify.Finding{Kind: verify.Truncated, Index: newest.Size, Why: fmt.Sprintf("the log has %d records and had %d before: a part of it is gone, or the newest checkpoint is older than the kept one", newest.Size, c.Size)})
		}
		all, out.Since = append(all, c), append(out.Since, c.Size)
	}
	log, err := verify.NewLog(all...)
	if err != nil {
		return a.finding(err)
	}
	if err := src.each(newest.Size, func(r string) error { return log.Add([]byte(r)) }); err != nil {
		return a.finding(err)
	}
	if err := log.Done(); err != nil {
		return a.finding(err)
	}
	if o.save != "" {
		if err := keepCheckpoint(o.save, src.newest); err != nil {
			return err
		}
	}
	return a.plain(out, func() { a.showVerified(out, o) })
}

func (a *app) showVerified(v verified, o auditCheck) {
	a.out.Fields([2]string{"log", screen.Clean(v.Origin)}, [2]string{"records", number(v.Size)}, [2]string{"root", v.Root})
	a.out.Check("the checkpoint is signed by the log's key")
	a.sayKey(v.RootKey)
	a.out.Check("the records have the signed root: none was changed, removed, added or moved")
	for i, size := range v.Since {
		a.out.Check("the first %d are what %s says: nothing was rewritten since", size, o.since[i])
	}
	if len(v.Since) == 0 {
		a.out.Note("whether the log was rewritten before today shows only a checkpoint kept from before: give --since, and --save this one")
	}
	if o.save != "" {
		a.out.Check("the checkpoint is kept in %s", o.save)
	}
}

// auditSource opens files, or the server.
func (a *app) auditSource(ctx context.Context, o auditCheck) (s source, err error) {
	if o.leaves != "" {
		var f auditFile
		if err := readJSON(o.leaves, &f); err != nil {
			return s, err
		}
		s.newest = f.Checkpoint
		s.each = func(_ uint64, take func(string) error) error { // all of them: one too many is a finding
			for _, l := range f.Leaves {
				if err := take(l); err != nil {
					return err
				}
			}
			return nil
		}
	} else {
		cp, err := a.control()
		if err != nil {
			return s, err
		}
		if o.checkpoint == "" {
			c, err := newestCheckpoint(ctx, cp)
			if err != nil {
				return s, err
			}
			s.newest = signedOf(c)
		}
		s.each = func(end uint64, take func(string) error) error {
			return eachLeaf(ctx, cp, 0, end, "", func(l *controlv1.Leaf) error { return take(l.GetRecord()) })
		}
	}
	if o.checkpoint != "" {
		s.newest, err = readSigned(o.checkpoint)
	}
	return s, err
}

func (a *app) kept(path string, root ed25519.PublicKey) (verify.Checkpoint, error) {
	s, err := readSigned(path)
	if err != nil {
		return verify.Checkpoint{}, err
	}
	return s.open(root)
}

// keepCheckpoint writes a checkpoint beside the old one and renames it, so that a kept
// one is never lost to a full disk.
func keepCheckpoint(path string, s signed) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("keep the checkpoint: %w", err)
	}
	if err := os.WriteFile(path+".new", append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("keep the checkpoint: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("keep the checkpoint: %w", err)
	}
	return nil
}
