package main

import (
	"errors"
	"flag"
	"os"
	"strings"

	"github.com/domicile-io/domicile/dataplane"
)

// escrowFlags are those of keys escrow and keys recover.
type escrowFlags struct {
	recipients            list
	out, escrow, identity string
}

type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

func (e *escrowFlags) add(flags *flag.FlagSet) {
	flags.Var(&e.recipients, "recipient", "a keeper's public key, age1…")
	flags.StringVar(&e.out, "out", "", "where to write the escrow")
	flags.StringVar(&e.escrow, "escrow", "", "the escrow")
	flags.StringVar(&e.identity, "identity", "", "a keeper's age identity")
}

func (e *escrowFlags) run(verb string, cfg dataplane.Config) error {
	if verb == "escrow" {
		return e.write(cfg)
	}
	if e.escrow == "" || e.identity == "" {
		return errors.New("keys recover: give --escrow and --identity")
	}
	file, err := os.Open(e.escrow)
	if err != nil {
		return err
	}
	defer file.Close()
	identity, err := os.Open(e.identity)
	if err != nil {
		return err
	}
	defer identity.Close()
	return dataplane.RecoverKeys(cfg, file, identity)
}

// write makes the file, and leaves none behind that is not whole.
func (e *escrowFlags) write(cfg dataplane.Config) error {
	if e.out == "" || len(e.recipients) == 0 {
		return errors.New("keys escrow: give --out and at least one --recipient")
	}
	f, err := os.OpenFile(e.out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = dataplane.EscrowKeys(cfg, f, e.recipients)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(e.out)
	}
	return err
}
