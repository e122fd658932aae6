package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/domicile-io/domicile/controlplane"
	"github.com/domicile-io/domicile/controlplane/recovery"
)

// files is a flag that may be repeated.
type files []string

func (f *files) String() string     { return fmt.Sprint(*f) }
func (f *files) Set(s string) error { *f = append(*f, s); return nil }

// recoverQuorum makes the statement or, with signatures, carries it out.
func recoverQuorum(ctx context.Context, args []string, stderr io.Writer) int {
	flags := flag.NewFlagSet("domicile-controlplane recover", flag.ContinueOnError)
	flags.SetOutput(stderr)
	config := flags.String("config", "", "configuration `file` of this voter, which must be stopped")
	statement := flags.String("statement", "", "`file` of the statement: written without --signature, carried out with")
	token := flags.String("token-file", "", "`file` to write the new operator's token into; with --signature")
	var signatures files
	flags.Var(&signatures, "signature", "`file` of domicile recovery sign; two different people's")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return exitUsage
	}
	if *config == "" || *statement == "" || flags.NArg() > 0 || (len(signatures) > 0) != (*token != "") {
		_, _ = fmt.Fprintln(stderr, "domicile-controlplane recover: give --config and --statement; and, to carry it out, --signature twice and --token-file")
		return exitUsage
	}
	cfg, err := controlplane.LoadConfig(*config)
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "domicile-controlplane recover:", err)
		return exitUsage
	}
	if len(signatures) == 0 {
		err = prepare(ctx, cfg, *statement, stderr)
	} else {
		err = carryOut(ctx, cfg, *statement, signatures, *token, stderr)
	}
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "domicile-controlplane recover: nothing was recovered:", err)
		return exitFailed
	}
	return 0
}

func prepare(ctx context.Context, cfg controlplane.Config, path string, stderr io.Writer) error {
	s, err := controlplane.PrepareRecovery(ctx, cfg, time.Now())
	if err != nil {
		return err
	}
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("write the statement: %w", err)
	}
	_, err = f.Write(append(raw, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write the statement: %w", err)
	}
	for _, w := range s.Words() {
		_, _ = fmt.Fprintln(stderr, w)
	}
	_, _ = fmt.Fprintf(stderr, "\nstatement %s is in %s; two people sign it:\n  domicile recovery sign --statement %s --key THEIRS.key --cert THEIRS.cert --out THEIRS.signature\n", s.SHA256(), path, path)
	return nil
}

func carryOut(ctx context.Context, cfg controlplane.Config, path string, signatures []string, token string, stderr io.Writer) error {
	o := controlplane.RecoverOptions{TokenFile: token, Now: time.Now()}
	if err := readStrict(path, &o.Statement); err != nil {
		return err
	}
	for _, s := range signatures {
		var a recovery.Approval
		if err := readStrict(s, &a); err != nil {
			return err
		}
		o.Approvals = append(o.Approvals, a)
	}
	r, err := controlplane.Recover(ctx, cfg, o)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(stderr, "voter %s is the only member of cluster %s, in cluster epoch %d, at revision %d\n", r.Survivor, r.Cluster, r.Epoch, r.Revision)
	_, _ = fmt.Fprintf(stderr, "signed by %v; all former tokens are void; the new operator's token is in %s\nnext: start this voter; destroy the data of the voters that were given up; add others with empty folders\n", r.Signed, r.TokenFile)
	return nil
}

func readStrict(path string, into any) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%s is not what it must be: %w", path, err)
	}
	return nil
}
