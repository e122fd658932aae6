// Package story tells what Domicile is for, on a running environment, and
// checks every sentence: tenants get homes, records of four sources stay there,
// another region refuses them unread, only pseudonyms cross, and calls go on
// when the control plane does not.
//
// A ✓ is printed only for what was just checked; the first check that fails
// ends the story with an error. The story may be told again on the same data:
// its tenants and records are then found, not made.
package story

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/internal/dev"
	"github.com/domicile-io/domicile/internal/screen"
	"github.com/domicile-io/domicile/policy"
)

// Options of Tell.
type Options struct {
	Env     *dev.Environment
	Screen  *screen.Screen
	Program string // how the reader starts the CLI, for commands to copy
}

// ErrNotSo says that a check did not hold.
var ErrNotSo = errors.New("the story is not true here")

// teller is one telling.
type teller struct {
	Options
	http    *http.Client
	control *client.Control
	homes   []*home
	steps   int

	generated generated // what the Irish tenant got in this telling
}

// home is one tenant of the story and where it lives.
type home struct {
	slug, region, country, zone string
	numbers                     numbers
	id                          string
	key                         string
	recipient                   string // RP id, "" none
	recipientKey                string // opens only what was received
	client                      *client.Region
}

// Tell tells the story once.
func Tell(ctx context.Context, o Options) error {
	hc, err := client.NewHTTP(client.HTTPOptions{CAFile: o.Env.CAFile()})
	if err != nil {
		return err
	}
	t := &teller{Options: o, http: hc, homes: cast()}
	t.control = t.controlAt(o.Env.ControlURL())
	t.introduce()
	began := time.Now()
	for _, step := range []struct {
		title string
		tell  func(context.Context) error
	}{
		{"Three tenants, each placed in its home region", t.place},
		{"Records of four kinds of switches come in, each at home", t.bringIn},
		{"An Irish record sent to the US is refused unread", t.misdirect},
		{"Work is done where the records are", t.rollups},
		{"A decision, explained", t.explain},
		{"What reached the US, beside the Irish originals", t.crossBorder},
		{"The egress ledger: everything that left Ireland", t.ledger},
		{"The voter that leads stops, and a policy is written", t.loseVoter},
		{"The whole control plane stops, and calls are taken in", t.loseControlPlane},
	} {
		t.steps++
		t.Screen.Step(t.steps, step.title)
		if err := step.tell(ctx); err != nil {
			return fmt.Errorf("step %d: %w", t.steps, err)
		}
	}
	t.Screen.Line("")
	t.Screen.Line("%s  %s", t.Screen.Bold("Every check held."), t.Screen.Faint(fmt.Sprintf("%d steps in %.0f s", t.steps, time.Since(began).Seconds())))
	return nil
}

// introduce says what the signs mean and makes the commands below work elsewhere.
func (t *teller) introduce() {
	t.Screen.Line("")
	t.Screen.Para("", "Each step says what happened. ✓ was just checked; a check that fails ends the story with an error. "+
		"A line after $ shows the same in another terminal, after these two, once the tenants are there:")
	t.Screen.Command("export DOMICILE_ENV_FILE=" + t.Env.EnvFile())
	t.Screen.Command("export DOMICILE_KEY=$(" + t.Program + " keys create " + t.homes[0].slug + " --role admin)")
}

func (t *teller) controlAt(url string) *client.Control {
	return &client.Control{BaseURL: url, Token: t.Env.Token(), HTTP: t.http, Patience: 15 * time.Second}
}

func (t *teller) regionClient(region, key string) *client.Region {
	return &client.Region{BaseURL: t.Env.RegionURL(region), Key: key, HTTP: t.http}
}

// check prints the sentence as true, or as not so and ends the story.
func (t *teller) check(holds bool, format string, args ...any) error {
	if !holds {
		t.Screen.Fail(format, args...)
		return fmt.Errorf("%w: %s", ErrNotSo, fmt.Sprintf(format, args...))
	}
	t.Screen.Check(format, args...)
	return nil
}

// refused checks that err is a refusal with the given reason.
func (t *teller) refused(err error, reason policy.Reason, sentence string) error {
	var e *policy.Error
	if errors.As(err, &e) && e.Reason == reason {
		return t.check(true, "%s: %s", sentence, reason)
	}
	return t.check(false, "%s: want %s, got %v", sentence, reason, err)
}

// command shows a command of the CLI that shows the same.
func (t *teller) command(format string, args ...any) {
	t.Screen.Command(t.Program + " " + fmt.Sprintf(format, args...))
}

func notYet(err error) bool { return errors.Is(err, &policy.Error{Reason: policy.NotYet}) }
