package cli

import (
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/api/control"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/audit/verify"
	"github.com/domicile-io/domicile/internal/screen"
	"github.com/domicile-io/domicile/policy"
)

// signed is a checkpoint as it is printed, kept and read again.
type signed struct {
	Note        string `json:"note"`
	Key         string `json:"key"`
	Certificate string `json:"certificate"`
}

// auditFile is what `audit list -o json` prints.
type auditFile struct {
	Checkpoint signed   `json:"checkpoint"`
	Leaves     []string `json:"leaves"`
	// What a restore needs beside the records, which do not say it.
	Slugs       map[string]string              `json:"slugs,omitempty"`
	Withdrawals map[string][]policy.Withdrawal `json:"withdrawals,omitempty"`
}

// add takes a record, and what stands beside it.
func (f *auditFile) add(l *controlv1.Leaf) error {
	f.Leaves = append(f.Leaves, l.GetRecord())
	if l.GetSlug() != "" {
		f.Slugs[l.GetResource()] = l.GetSlug()
	}
	if len(l.GetWithdrawals()) == 0 {
		return nil
	}
	var all []policy.Withdrawal
	for _, w := range l.GetWithdrawals() {
		all = append(all, policy.Withdrawal{Key: w.GetSigningKey(), Signature: control.SignatureFrom(w.GetSignature())})
	}
	f.Withdrawals[l.GetResource()] = all
	return nil
}

func signedOf(c *controlv1.Checkpoint) signed {
	return signed{Note: c.GetNote(), Key: c.GetKey(), Certificate: c.GetCertificate()}
}

// open checks a checkpoint by the key that came with it and, unless root is
// nil, that key by root.
func (s signed) open(root ed25519.PublicKey) (verify.Checkpoint, error) {
	key, err := verify.ParseKey(s.Key)
	if err != nil {
		return verify.Checkpoint{}, err
	}
	if root != nil {
		certificate, err := hex.DecodeString(s.Certificate)
		if err != nil {
			return verify.Checkpoint{}, &verify.Finding{Kind: verify.BadSignature, Why: "the certificate of the log's key is not hex"}
		}
		cluster := strings.TrimSuffix(strings.TrimPrefix(key.Name, "domicile/"), "/control")
		if err := verify.Certified(key, cluster, certificate, root); err != nil {
			return verify.Checkpoint{}, err
		}
	}
	return verify.Open([]byte(s.Note), key)
}

// rootFlag adds --root-key.
func rootFlag(c *cobra.Command, root *string) {
	c.Flags().StringVar(root, "root-key", "", "operator's public root `key`, 64 hex digits, from a source that is not this server (DOMICILE_ROOT_KEY)")
}

// rootKey is the root to check the log's key by; nil when none is given.
func (a *app) rootKey(flag string) (ed25519.PublicKey, error) {
	text, err := a.setting(flag, "DOMICILE_ROOT_KEY")
	if err != nil || text == "" {
		return nil, err
	}
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != ed25519.PublicKeySize {
		return nil, usagef("--root-key must be 64 hex digits: the root_public_key of the voters' configuration")
	}
	return b, nil
}

// sayKey says by what the log's key is believed.
func (a *app) sayKey(checked bool) {
	if checked {
		a.out.Check("the log's key is certified by the root key given")
		return
	}
	a.out.Note("the log's key came with the checkpoint and was not checked: give --root-key")
}

// openControl is control without a token, for what needs none.
func (a *app) openControl() (*client.Control, error) {
	base, err := a.need(a.controlURL, "DOMICILE_CONTROL_URL", "--control-url")
	if err != nil {
		return nil, err
	}
	hc, err := a.http()
	if err != nil {
		return nil, err
	}
	return &client.Control{BaseURL: base, HTTP: hc, Patience: patience}, nil
}

// readSigned reads a checkpoint that was kept: what `audit checkpoint -o json`
// or `audit list -o json` printed.
func readSigned(path string) (signed, error) {
	var f struct {
		signed
		Checkpoint *signed `json:"checkpoint"`
	}
	if err := readJSON(path, &f); err != nil {
		return signed{}, err
	}
	if f.Checkpoint != nil {
		return *f.Checkpoint, nil
	}
	if f.Note == "" {
		return signed{}, fmt.Errorf("%s holds no checkpoint: keep one with domicile audit checkpoint -o json", path)
	}
	return f.signed, nil
}

func readJSON(path string, into any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%s is not what domicile audit prints with -o json", path)
	}
	return nil
}

// finding prints what a check found and ends the command; other errors pass.
func (a *app) finding(err error) error {
	var f *verify.Finding
	if !errors.As(err, &f) {
		return err
	}
	if a.output == "json" {
		if err := a.printJSON(map[string]any{"verified": false, "finding": f.Kind, "index": f.Index, "why": f.Why}); err != nil {
			return err
		}
		return errSaid
	}
	a.err.Fail("%s at %d: %s", f.Kind, f.Index, screen.Clean(f.Why))
	a.err.Line("  next: keep the files as they are and tell a second person; docs/audit.md says what each finding means")
	return errSaid
}
