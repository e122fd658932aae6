package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/audit/verify"
	"github.com/domicile-io/domicile/policy"
)

// verifiedRegion is what `audit verify --region -o json` prints.
type verifiedRegion struct {
	Verified bool     `json:"verified"`
	Origin   string   `json:"origin"`
	Size     uint64   `json:"size"`
	Root     string   `json:"root"`
	Since    []uint64 `json:"since"`
	Leaves   uint64   `json:"leaves"` // of this tenant, each proved
	Key      trusted  `json:"key_checked"`
}

// verifyRegion checks a region's log as a tenant can: that it only grew since
// each kept checkpoint, and that every record about the tenant is in it.
func (a *app) verifyRegion(ctx context.Context, o auditCheck, log regionLog) error {
	r, err := a.ownRegion(log.name)
	if err != nil {
		return err
	}
	newest, err := r.LogCheckpoint(ctx)
	if err != nil {
		return err
	}
	at, err := a.openLog(newest, log, time.Now())
	if err != nil {
		return a.finding(err)
	}
	out := verifiedRegion{Verified: true, Origin: at.Origin, Size: at.Size, Root: hex.EncodeToString(at.Root[:]), Since: []uint64{}, Key: at.trust}
	for _, path := range o.since {
		size, err := a.grewSince(ctx, r, at, path, log)
		if err != nil {
			return a.finding(err)
		}
		out.Since = append(out.Since, size)
	}
	err = eachOwnLeaf(ctx, r, o.start, 0, func(l data.LogLeaf) error {
		if l.Index >= at.Size {
			return nil // newer than the checkpoint
		}
		p, err := r.LogProof(ctx, l.Index)
		if err != nil {
			return err
		}
		signed, err := a.openLog(p.Checkpoint, log, time.Now())
		if err == nil {
			err = checkOwnLeaf(signed.Checkpoint, l.Index, l, p.Hashes)
		}
		out.Leaves++
		return err
	})
	if err != nil {
		return a.finding(err)
	}
	if o.save != "" {
		if err := keepJSON(o.save, newest); err != nil {
			return err
		}
	}
	return a.plain(out, func() {
		a.sayLogKey(at)
		for i, size := range out.Since {
			a.out.Check("the first %d records are what %s says: nothing was rewritten since", size, o.since[i])
		}
		if len(out.Since) == 0 {
			a.out.Note("whether the log was rewritten before today shows only a checkpoint kept from before: give --since, and --save this one")
		}
		a.out.Check("each of the %d records about this tenant is in the log, with what it commits to", out.Leaves)
	})
}

// grewSince proves that the log begins with what a kept checkpoint says.
func (a *app) grewSince(ctx context.Context, r *client.Region, at opened, path string, log regionLog) (uint64, error) {
	var kept data.Checkpoint
	if err := readJSON(path, &kept); err != nil {
		return 0, err
	}
	old, err := a.openLog(kept, log, time.Time{})
	if err != nil {
		return 0, err
	}
	switch {
	case old.Origin != at.Origin:
		return 0, &verify.Finding{Kind: verify.Truncated, Index: at.Size, Why: "the region's log goes on under another id since the kept checkpoint: its records were put back from a backup, and the record log.restore says from where it goes on; docs/audit.md says what that means"}
	case old.Size > at.Size:
		return 0, &verify.Finding{Kind: verify.Truncated, Index: at.Size, Why: fmt.Sprintf("the log has %d records and had %d before", at.Size, old.Size)}
	case old.Size == 0:
		return 0, nil
	}
	p, err := r.LogConsistency(ctx, old.Size, at.Size)
	if err != nil {
		return 0, err
	}
	hashes := make([]verify.Hash, len(p.Hashes))
	for i, text := range p.Hashes {
		raw, err := hex.DecodeString(text)
		if err != nil || len(raw) != len(hashes[i]) {
			return 0, &verify.Finding{Kind: verify.BadProof, Index: old.Size, Why: "a hash of the proof is malformed"}
		}
		hashes[i] = verify.Hash(raw)
	}
	return old.Size, verify.Consistency(old.Checkpoint, at.Checkpoint, hashes)
}

func keepJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err == nil {
		err = os.WriteFile(path+".new", append(b, '\n'), 0o600)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("keep the checkpoint: %w", err)
	}
	return nil
}

func (a *app) receiptsCommand() *cobra.Command {
	return group("receipts", "Fetch receipts of what was stored, and check them without any server", a.receiptsGet(), a.receiptsVerify())
}

func (a *app) receiptsGet() *cobra.Command {
	var out string
	c := &cobra.Command{Use: "get RECEIPT", Short: "Fetch a receipt with its proof, and check it", Args: cobra.ExactArgs(1),
		Long: `Fetches a receipt by the id that storing answered. Keep the file: it proves what was stored after the
records are gone, and opens them only as long as none of them was erased.`,
		Example: "  domicile receipts get RC0f… --out receipt.json",
		RunE: a.run(func(ctx context.Context, args []string) error {
			if !policy.ValidID("RC", args[0]) {
				return usagef("RECEIPT is RC and 32 hex digits, as storing answered it")
			}
			r, err := a.region()
			if err != nil {
				return err
			}
			form, err := r.Receipt(ctx, args[0])
			if err != nil {
				return err
			}
			if out != "" {
				if err := keepJSON(out, form); err != nil {
					return err
				}
			}
			if a.output == "json" {
				return a.printJSON(form)
			}
			return a.checkReceipts(regionLog{}, []data.Receipt{form}, "")
		})}
	c.Flags().StringVar(&out, "out", "", "`file` to keep the receipt in")
	return c
}

func (a *app) receiptsVerify() *cobra.Command {
	var log regionLog
	var body string
	c := &cobra.Command{Use: "verify FILE...", Short: "Check receipts that were kept; asks no server", Args: cobra.MinimumNArgs(1),
		Long: `Checks that each receipt's statement is in the region's log, that the log is signed, and by which key.
The checks are those of package audit/verify, which shares no code with what writes the log.`,
		Example: "  domicile receipts verify receipt.json --region ie1 --ca ca.pem --body call.json",
		RunE:    a.run(func(_ context.Context, args []string) error { return a.verifyReceipts(log, args, body) })}
	logFlags(c, &log)
	c.Flags().StringVar(&body, "body", "", "`file` of one record as it was sent: it must be among those of the receipt")
	return c
}

func (a *app) verifyReceipts(log regionLog, files []string, body string) error {
	var all []data.Receipt
	for _, path := range files {
		var form data.Receipt
		if err := readJSON(path, &form); err != nil {
			return err
		}
		all = append(all, form)
	}
	return a.checkReceipts(log, all, body)
}

// receiptCheck is what a receipt proves.
type receiptCheck struct {
	Verified  bool             `json:"verified"`
	ID        string           `json:"id"`
	Statement verify.Statement `json:"statement"`
	Origin    string           `json:"origin"`
	Index     uint64           `json:"index"`
	Opened    int              `json:"opened"`
	Key       trusted          `json:"key_checked"`
}

func (a *app) checkReceipts(log regionLog, all []data.Receipt, body string) error {
	out := make([]receiptCheck, 0, len(all))
	for _, form := range all {
		at, err := a.openLog(form.Proof.Checkpoint, log, time.Time{})
		if err != nil {
			return a.finding(err)
		}
		raw, err := json.Marshal(form)
		if err != nil {
			return err
		}
		var r verify.Receipt
		if err := json.Unmarshal(raw, &r); err != nil {
			return err
		}
		s, _, err := r.Check(at.key)
		if err == nil && body != "" {
			err = opens(r, body)
		}
		if err != nil {
			return a.finding(err)
		}
		out = append(out, receiptCheck{Verified: true, ID: form.ID, Statement: s, Origin: at.Origin, Index: form.Proof.Index, Opened: len(r.Records), Key: at.trust})
		if a.output != "json" {
			a.out.Check("%d records of tenant %s were stored in region %s at %s, under revision %d of the policy", s.Count, s.Tenant, s.Region, s.Time.Format(time.RFC3339), s.Revision)
			a.out.Check("that is under record %d of the %d that the region signed", form.Proof.Index, at.Size)
			if len(r.Records) > 0 {
				a.out.Check("the receipt opens all of them: their contents are those that it was given for")
			} else {
				a.out.Note("the receipt opens none of them: one was erased or changed since, its time is over, or whoever fetched it may not see records")
			}
			a.sayLogKey(at)
		}
	}
	if a.output != "json" {
		return nil
	}
	return a.printJSON(map[string]any{"receipts": out})
}

// opens reports whether a receipt is for what a file holds, byte for byte.
func opens(r verify.Receipt, path string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return usagef("the record cannot be read: %v", err)
	}
	sum := sha256.Sum256(raw)
	for _, o := range r.Records {
		if o.Content == hex.EncodeToString(sum[:]) {
			return nil
		}
	}
	return &verify.Finding{Kind: verify.BadProof, Index: r.Proof.Index, Why: "the file is none of the records that the receipt opens"}
}

// logFlags adds --region and --log-key.
func logFlags(c *cobra.Command, o *regionLog) {
	c.Flags().StringVar(&o.name, "region", "", "the log of this `region`, instead of the control plane's")
	c.Flags().StringVar(&o.key, "log-key", "", "`key` of the region's log that you trust, NAME+ID+BASE64; without it a node's certificate is checked by --ca")
}
