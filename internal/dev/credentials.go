package dev

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// The first credentials come as those of any cluster do: the voter that
// initialises it writes a one-time token into a file of mode 0600, and whoever
// may read that file redeems it (docs/adr/0019). Dev does both ends.

// How long dev's tokens live: as long as their roles allow. What ends within
// renewBefore is renewed at a start.
const (
	officerLife  = 7 * 24 * time.Hour
	operatorLife = 30 * 24 * time.Hour
	renewBefore  = 24 * time.Hour
	filePatience = 20 * time.Second // for the file of a token that was asked for
)

const bootstrapFile = "bootstrap-token" // in a voter's data folder

// Credentials says where the tokens of this start come from.
type Credentials struct {
	Redeemed string    // the file of the one-time token that made them; "" they are of an earlier start
	Voter    string    // whose file it was
	Until    time.Time // when the first of them runs out; zero: never, they are of an earlier version
}

// Credentials of this start.
func (e *Environment) Credentials() Credentials { return e.credentials }

// obtain makes sure that both tokens work for a day: those of an earlier start,
// renewed by the officer's, or by the one-time token.
func (e *Environment) obtain(ctx context.Context) error {
	until, err := e.tokensEnd(ctx)
	if err == nil && (until.IsZero() || time.Until(until) > renewBefore) {
		e.credentials = Credentials{Until: until}
		return nil
	}
	if err == nil { // they still work: the officer's makes the next ones
		return e.renew(ctx, e.pki.officer)
	}
	if !isUnauthenticated(err) {
		return fmt.Errorf("try the tokens of an earlier start: %w", err)
	}
	path, voter := e.oneTimeFile()
	if path == "" { // spent, or void after a restore: a new one is made for a higher generation, at a start
		if err := e.pki.nextGeneration(); err != nil {
			return err
		}
		if err := e.StopControlPlane(ctx); err != nil {
			return err
		}
		if err := e.startVoters(ctx); err != nil {
			return err
		}
		wait, cancel := context.WithTimeout(ctx, filePatience)
		defer cancel()
		if err := waitFor(wait, "the one-time token", func() error {
			if path, voter = e.oneTimeFile(); path == "" {
				return errors.New("no voter has written its file")
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return e.redeem(ctx, path, voter)
}

// redeem uses a one-time token up. Its file is there before its hash is in the
// state, so it may not work yet.
func (e *Environment) redeem(ctx context.Context, path, voter string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the one-time token: %w", err)
	}
	token := strings.TrimSpace(string(raw))
	cp, done, err := e.as(token)
	if err != nil {
		return err
	}
	defer done()
	wait, cancel := context.WithTimeout(ctx, filePatience)
	defer cancel()
	if err := waitFor(wait, "the one-time token", func() error { _, err := cp.WhoAmI(wait); return err }); err != nil {
		return err
	}
	if err := e.renew(ctx, token); err != nil {
		return err
	}
	e.credentials.Redeemed, e.credentials.Voter = path, voter
	return nil
}

// oneTimeFile finds the file that one of the voters has written.
func (e *Environment) oneTimeFile() (path, voter string) {
	for _, name := range voterNames {
		path := filepath.Join(e.opts.Dir, "controlplane", name, bootstrapFile)
		if info, err := os.Stat(path); err == nil && info.Mode().Perm() == 0o600 {
			return path, name
		}
	}
	return "", ""
}

// renew makes an officer's token with a given one, and an operator's with that.
// Both secrets are drawn here: the control plane learns their hashes.
func (e *Environment) renew(ctx context.Context, with string) error {
	if err := e.pki.drawTokens(); err != nil {
		return err
	}
	if err := e.create(ctx, with, "security_officer", e.pki.officer, officerLife); err != nil {
		return err
	}
	if err := e.create(ctx, e.pki.officer, "operator", e.pki.token, operatorLife); err != nil {
		return err
	}
	e.credentials = Credentials{Until: time.Now().Add(officerLife).Truncate(time.Second)}
	return e.pki.keepTokens()
}

func (e *Environment) create(ctx context.Context, with, role, token string, life time.Duration) error {
	cp, done, err := e.as(with)
	if err != nil {
		return err
	}
	defer done()
	if _, err := cp.CreateToken(ctx, &controlv1.CreateTokenRequest{Role: role, Lifetime: uint32(life.Seconds()), SecretSha256: hashOf(token)}); err != nil {
		return fmt.Errorf("make the %s's token: %w", role, err)
	}
	return nil
}

// tokensEnd is when the first of the two tokens runs out; zero is never.
func (e *Environment) tokensEnd(ctx context.Context) (first time.Time, err error) {
	for _, token := range []string{e.pki.officer, e.pki.token} {
		cp, done, err := e.as(token)
		if err != nil {
			return first, err
		}
		me, err := cp.WhoAmI(ctx)
		done()
		if err != nil {
			return first, err
		}
		if at := me.GetExpiresAt(); at != nil && (first.IsZero() || at.AsTime().Before(first)) {
			first = at.AsTime()
		}
	}
	return first, nil
}

func isUnauthenticated(err error) bool {
	return errors.Is(err, &policy.Error{Reason: policy.Unauthenticated})
}

// as is a client for the first voter with a token.
func (e *Environment) as(token string) (cp *client.Control, done func(), err error) {
	hc, err := client.NewHTTP(client.HTTPOptions{CAFile: e.CAFile()})
	if err != nil {
		return nil, nil, err
	}
	return &client.Control{BaseURL: e.ControlURL(), Token: token, HTTP: hc, Patience: startLimit}, hc.CloseIdleConnections, nil
}

// Files of an environment's tokens, in its PKI folder.
const (
	operatorFile   = "operator.token"
	officerFile    = "officer.token"
	generationFile = "bootstrap.generation"
)

// openTokens reads the tokens of an earlier start; without one it draws them.
func (p *pki) openTokens() error {
	operator, err := secretFile(filepath.Join(p.dir, operatorFile))
	if err != nil {
		return err
	}
	officer, err := secretFile(filepath.Join(p.dir, officerFile))
	if err != nil {
		return err
	}
	p.token, p.officer = "dt_"+operator, "dt_"+officer
	raw, err := os.ReadFile(filepath.Join(p.dir, generationFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		p.generation, err = strconv.ParseUint(strings.TrimSpace(string(raw)), 10, 32)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", generationFile, err)
	}
	return nil
}

// drawTokens draws two new tokens; keepTokens writes them once they work.
func (p *pki) drawTokens() error {
	for _, t := range []*string{&p.token, &p.officer} {
		drawn, err := drawSecret()
		if err != nil {
			return err
		}
		*t = "dt_" + drawn
	}
	return nil
}

func (p *pki) keepTokens() error {
	return errors.Join(writeAtomically(filepath.Join(p.dir, operatorFile), []byte(strings.TrimPrefix(p.token, "dt_")+"\n")),
		writeAtomically(filepath.Join(p.dir, officerFile), []byte(strings.TrimPrefix(p.officer, "dt_")+"\n")))
}

// nextGeneration asks for another one-time token: the voters' configuration
// names a higher generation at their next start.
func (p *pki) nextGeneration() error {
	p.generation = max(p.generation, 1) + 1
	return writeAtomically(filepath.Join(p.dir, generationFile), []byte(strconv.FormatUint(p.generation, 10)+"\n"))
}
