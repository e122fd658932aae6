package cli

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/controlplane/recovery"
	"github.com/domicile-io/domicile/policy"
)

func (a *app) recoveryCommand() *cobra.Command {
	return group("recovery", "Sign what two people must sign before a lost quorum is given up", a.recoverySign())
}

func (a *app) recoverySign() *cobra.Command {
	var statement, key, cert, out string
	var yes bool
	c := &cobra.Command{Use: "sign --statement FILE --key FILE --cert FILE --out FILE", Short: "Read a recovery statement, and sign it", Args: cobra.NoArgs,
		Long: `Shows in plain words what "domicile-controlplane recover" is about to do, asks, and signs exactly that with your
recovery key, which "domicile trust certify --purpose recovery" has certified. It asks no server. Two different
people sign, each on their own machine, after they have spoken to each other.`,
		RunE: a.run(func(context.Context, []string) error {
			if statement == "" || key == "" || cert == "" || out == "" {
				return usagef("--statement, --key, --cert and --out are all needed")
			}
			var s recovery.Statement
			if err := readJSON(statement, &s); err != nil {
				return fmt.Errorf("%s is no statement of domicile-controlplane recover", statement)
			}
			if err := s.Check(); err != nil {
				return err
			}
			var o recovery.Officer
			if err := readJSON(cert, &o); err != nil {
				return fmt.Errorf("%s is no certificate of domicile trust certify --purpose recovery", cert)
			}
			private, err := readSecretKey(key)
			if err != nil {
				return err
			}
			approval, err := recovery.Approve(s, o, private)
			if err != nil {
				return err
			}
			for _, w := range s.Words() {
				a.err.Para("  ", w)
			}
			a.err.Line("  statement %s", s.SHA256())
			if !yes && !a.confirmed("Type the survivor's name to sign: ", s.Survivor) {
				return fmt.Errorf("nothing was signed")
			}
			raw, err := json.MarshalIndent(approval, "", "  ")
			if err != nil {
				return fmt.Errorf("encode the signature: %w", err)
			}
			if err := writeNew(out, append(raw, '\n'), 0o644); err != nil {
				return err
			}
			return a.plain(approval, func() {
				a.out.Fields([2]string{"signature", out}, [2]string{"person", o.Principal}, [2]string{"statement", s.SHA256()})
			})
		})}
	f := c.Flags()
	f.StringVar(&statement, "statement", "", "`file` that domicile-controlplane recover wrote")
	f.StringVar(&key, "key", "", "your recovery key `file`")
	f.StringVar(&cert, "cert", "", "its certificate `file`")
	f.StringVar(&out, "out", "", "signature `file` to write")
	f.BoolVar(&yes, "yes", false, "do not ask")
	return c
}

// confirmed asks for a word.
func (a *app) confirmed(question, want string) bool {
	_, _ = fmt.Fprint(a.err.Writer(), question)
	line, _ := bufio.NewReader(a.in).ReadString('\n')
	return strings.TrimSpace(line) == want
}

// certifyOfficer certifies a person's recovery key.
func (a *app) certifyOfficer(o certifyFlags) error {
	if !policy.ValidID(policy.KindPrincipal, o.principal) {
		return usagef("--principal must be the person's opaque id, PR and 32 lower-case hex digits: one for each person")
	}
	root, err := readSecretKey(o.root)
	if err != nil {
		return err
	}
	public, err := readPublicKey(o.key)
	if err != nil {
		return err
	}
	officer, err := recovery.Certify(root, o.cluster, o.principal, public)
	if err != nil {
		return err
	}
	raw, err := json.MarshalIndent(officer, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the certificate: %w", err)
	}
	if err := writeNew(o.out, append(raw, '\n'), 0o644); err != nil {
		return err
	}
	return a.plain(officer, func() {
		a.out.Fields([2]string{"certificate", o.out}, [2]string{"person", officer.Principal}, [2]string{"public key", hex.EncodeToString(public)})
	})
}
