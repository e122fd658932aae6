package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/api"
	"github.com/domicile-io/domicile/internal/screen"
	"github.com/domicile-io/domicile/policy"
)

// The exit codes of the package comment.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitUnavailable = 3
	exitUnknown     = 4
)

// usageError is a wrong command line.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// errSaid ends a command with exitFailed when everything was already printed.
var errSaid = errors.New("already said")

func usagef(format string, args ...any) error { return &usageError{err: fmt.Errorf(format, args...)} }

// report prints err, if any, and says how the process ends.
func (a *app) report(err error) int {
	if err == nil {
		return exitDone
	}
	var refused *policy.Error
	var usage *usageError
	switch {
	case errors.Is(err, errSaid):
		return exitFailed
	case errors.As(err, &refused):
		if a.output == "json" {
			a.reportJSON(refused)
		} else {
			a.reportProblem(refused)
		}
		return exitOf(refused.Reason)
	case errors.As(err, &usage):
		a.say(err.Error())
		return exitUsage
	case errors.Is(err, context.Canceled):
		a.say("stopped")
		return exitFailed
	}
	a.say(err.Error())
	return exitFailed
}

func exitOf(r policy.Reason) int {
	switch r {
	case policy.OutcomeUnknown:
		return exitUnknown
	case policy.NotReady, policy.PolicyStale, policy.TenantFenced, policy.Overloaded, policy.StorageFull:
		return exitUnavailable
	}
	return exitFailed
}

// say prints a failure that no server described.
func (a *app) say(text string) {
	first, rest, _ := strings.Cut(text, "\n")
	a.err.Line("%s %s", a.err.Bad("domicile:"), first)
	if rest != "" {
		a.err.Line("%s", rest)
	}
}

// reportProblem says what happened, why, what next, and the request id.
func (a *app) reportProblem(e *policy.Error) {
	a.say(strings.TrimSuffix(screen.Clean(e.Message), "; errors says what is wrong with each"))
	for _, f := range e.Fields {
		a.err.Line("  %s: %s", a.err.Bold(screen.Clean(f.Field)), screen.Clean(f.Message))
	}
	if next := nextStep(e); next != "" {
		a.err.Line("  next: %s", next)
	}
	id := e.Metadata["request_id"]
	if id == "" {
		id = "none, no server answered"
	}
	a.err.Line("  %s", a.err.Faint("reason "+string(e.Reason)+" · request "+screen.Clean(id)))
}

func (a *app) reportJSON(e *policy.Error) {
	metadata := map[string]string{}
	for k, v := range e.Metadata {
		if k != "request_id" && k != "retry_after" {
			metadata[k] = v
		}
	}
	p := api.ProblemOf(&policy.Error{Reason: e.Reason, Message: e.Message, Fields: e.Fields, Metadata: metadata}, e.Metadata["request_id"])
	enc := json.NewEncoder(a.err.Writer())
	enc.SetIndent("", "  ")
	_ = enc.Encode(p)
}

func quote(s string) string { return strconv.Quote(screen.Clean(s)) }

func names(commands []*cobra.Command) string {
	var out []string
	for _, c := range commands {
		if !c.Hidden {
			out = append(out, c.Name())
		}
	}
	return strings.Join(out, "|")
}
