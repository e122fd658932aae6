package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

func (a *app) operationsCommand() *cobra.Command {
	return group("operations", "Look at work that takes longer than a call, wait for it, cancel it",
		a.operationsList(), a.operationsGet(), a.operationsWait(), a.operationsCancel())
}

func (a *app) operationsList() *cobra.Command {
	var filter string
	var all bool
	c := &cobra.Command{Use: "list", Short: "List operations that run; with --all, those that have ended too", Args: cobra.NoArgs,
		Example: "  domicile operations list\n  domicile operations list --all --filter 'kind = backup.take AND state = failed'",
		RunE: a.run(func(ctx context.Context, _ []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			if !all {
				filter = join(filter, "done = false")
			}
			ops, err := cp.Operations(ctx, filter)
			if err != nil {
				return err
			}
			slices.SortStableFunc(ops, func(x, y *controlv1.Operation) int {
				return y.GetCreateTime().AsTime().Compare(x.GetCreateTime().AsTime())
			})
			return list(a, "operations", ops, func() {
				if a.none(len(ops), "operations", "nothing is under way; --all shows what has ended") {
					return
				}
				rows := make([][]string, 0, len(ops))
				for _, o := range ops {
					rows = append(rows, []string{o.GetId(), o.GetKind(), about(o), o.GetState(), dash(o.GetPhase()), progressOf(o), stamp(o.GetCreateTime()), stamp(o.GetEndTime())})
				}
				a.out.Table([]string{"OPERATION", "KIND", "OF", "STATE", "PHASE", "PROGRESS", "BEGUN", "ENDED"}, rows)
			})
		})}
	c.Flags().BoolVar(&all, "all", false, "those that have ended too")
	return filtered(&filter, c)
}

func join(filter, more string) string {
	if filter == "" {
		return more
	}
	return filter + " AND " + more
}

// about is what an operation is about.
func about(o *controlv1.Operation) string {
	for _, s := range []string{o.GetTenant(), o.GetMember(), o.GetVoter()} {
		if s != "" {
			return s
		}
	}
	return "-"
}

func progressOf(o *controlv1.Operation) string {
	p := o.GetProgress()
	switch {
	case p == nil:
		return "-"
	case p.GetTotal() == 0:
		return number(p.GetCompleted()) + " " + p.GetUnit()
	}
	return fmt.Sprintf("%d of %d %s", p.GetCompleted(), p.GetTotal(), p.GetUnit())
}

func (a *app) operationsGet() *cobra.Command {
	return &cobra.Command{Use: "get OPERATION", Short: "Show how far an operation is", Args: cobra.ExactArgs(1), ValidArgsFunction: a.operationIDs(""),
		RunE: a.run(func(ctx context.Context, args []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			op, err := cp.Operation(ctx, args[0])
			if err != nil {
				return err
			}
			return a.result(op, func() { a.showOperation(op) })
		})}
}

func (a *app) operationsWait() *cobra.Command {
	var timeout time.Duration
	c := &cobra.Command{Use: "wait OPERATION", Short: "Wait until an operation is done", Args: cobra.ExactArgs(1), ValidArgsFunction: a.operationIDs("done = false"),
		Long: `Waits until an operation is done, with a progress bar on a terminal and a line for each step elsewhere.
Ends with code 0 when it has succeeded, 1 when it has failed or was cancelled, 3 when --timeout is over
before; the operation then goes on.`,
		RunE: a.run(func(ctx context.Context, args []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			op, err := a.await(ctx, cp, args[0], timeout)
			if err != nil {
				return err
			}
			return a.ended(op)
		})}
	c.Flags().DurationVar(&timeout, "timeout", 0, "how long to wait; 0: as long as it takes")
	return c
}

func (a *app) operationsCancel() *cobra.Command {
	return &cobra.Command{Use: "cancel OPERATION", Short: "Ask an operation to stop, where that is possible", Args: cobra.ExactArgs(1), ValidArgsFunction: a.operationIDs("cancellable = true"),
		Long: "What is under way stops at its next safe place; domicile operations wait says when. What cannot be cancelled is refused, and the refusal says what undoes it instead.",
		RunE: a.run(func(ctx context.Context, args []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			op, err := cp.CancelOperation(ctx, args[0])
			if err != nil {
				return err
			}
			return a.result(op, func() { a.showOperation(op) })
		})}
}

// operationIDs completes operations that meet a filter.
func (a *app) operationIDs(filter string) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		cp, err := a.control()
		if err != nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
		defer cancel()
		ops, err := cp.Operations(ctx, filter)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var out []string
		for _, o := range ops {
			out = append(out, o.GetId()+"\t"+o.GetKind()+" of "+about(o)+", "+o.GetState())
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// await shows an operation's progress until it is done, or until the time is
// over: then it is given as it is. 0 has no end.
func (a *app) await(ctx context.Context, cp *client.Control, id string, patience time.Duration) (*controlv1.Operation, error) {
	waiting := ctx
	if patience > 0 {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	watch, end := a.watcher()
	op, err := client.Await(waiting, cp, id, watch)
	end()
	if err != nil && ctx.Err() == nil && waiting.Err() != nil {
		return cp.Operation(ctx, id) // the time is over: as it is
	}
	return op, err
}

// watcher draws a bar on a terminal, and elsewhere prints a line for each step.
func (a *app) watcher() (watch func(*controlv1.Operation), end func()) {
	if !a.err.Terminal() {
		last := ""
		return func(op *controlv1.Operation) {
			if now := a.stepOf(op); now != last && !op.GetDone() && a.output != "json" {
				a.err.Line("%s", now)
				last = now
			}
		}, func() {}
	}
	var bar *progressbar.ProgressBar
	known := false
	return func(op *controlv1.Operation) {
			p := op.GetProgress()
			if bar == nil || !known && p.GetTotal() > 0 {
				known = p.GetTotal() > 0
				most := int64(-1) // a spinner, until the whole is known
				if known {
					most = int64(p.GetTotal())
				}
				bar = progressbar.NewOptions64(most, progressbar.OptionSetWriter(a.err.Writer()), progressbar.OptionShowCount(),
					progressbar.OptionSetElapsedTime(true), progressbar.OptionClearOnFinish(), progressbar.OptionSetSpinnerChangeInterval(0)) // its own goroutine races with ours
			}
			if known {
				bar.ChangeMax64(int64(max(p.GetTotal(), 1)))
			}
			bar.Describe(op.GetKind() + " " + dash(op.GetPhase()))
			_ = bar.Set64(int64(p.GetCompleted())) // only drawn
		}, func() {
			if bar != nil {
				_ = bar.Clear()
			}
		}
}

func (a *app) stepOf(op *controlv1.Operation) string {
	s := op.GetKind() + " of " + about(op) + ": " + op.GetState()
	if p := op.GetPhase(); p != "" {
		s += ", " + p
	}
	if p := progressOf(op); p != "-" {
		s += ", " + p
	}
	return s
}

// ended prints how an operation is, and says by the exit code how it ended.
func (a *app) ended(op *controlv1.Operation) error {
	if err := a.result(op, func() { a.showOperation(op) }); err != nil {
		return err
	}
	switch {
	case !op.GetDone():
		return &policy.Error{Reason: policy.NotReady, Message: "the operation is not done yet; it goes on: domicile operations wait " + op.GetId()}
	case op.GetState() != "succeeded":
		return errSaid
	}
	return nil
}

func (a *app) showOperation(op *controlv1.Operation) {
	nodes := [][2]string{}
	if len(op.GetMissing()) > 0 || op.GetAnswered() > 0 || len(op.GetExcused()) > 0 {
		nodes = append(nodes, [2]string{"nodes answered", number(op.GetAnswered())}, [2]string{"nodes missing", number(len(op.GetMissing()))})
	}
	r := op.GetResponse()
	fields := append([][2]string{{"operation", op.GetId()}, {"kind", op.GetKind()}, {"tenant", op.GetTenant()}, {"member", op.GetMember()}, {"voter", op.GetVoter()},
		{"state", op.GetState()}, {"phase", op.GetPhase()}, {"progress", progressOf(op)}}, nodes...)
	fields = append(fields, [2]string{"file", r.GetFile()}, [2]string{"SHA-256", r.GetSha256()})
	if r.GetRevision() > 0 {
		fields = append(fields, [2]string{"revision", number(r.GetRevision())})
	}
	switch {
	case op.GetKind() == "tenant.import" && r != nil:
		fields = append(fields, [2]string{"placed", number(r.GetGood())}, [2]string{"refused", number(r.GetRefused())})
	case op.GetKind() == "backup.verify" && r != nil:
		fields = append(fields, [2]string{"whole backups", number(r.GetGood())})
	}
	a.out.Fields(append(fields, [2]string{"begun", stamp(op.GetCreateTime())}, [2]string{"ended", stamp(op.GetEndTime())})...)
	if e := op.GetError(); e != nil {
		a.err.Line("%s: %s", e.GetCause(), e.GetMessage())
	}
	a.showMissing(op)
}

// showMissing says what is to be done about each node that has not answered.
func (a *app) showMissing(op *controlv1.Operation) {
	for _, n := range op.GetMissing() {
		if n.GetHolds() > 0 {
			a.err.Line("waiting for a legal hold in %s (%s): node %s destroys nothing while %d of the tenant's holds stand; on that node: domicile-dataplane region holds list", n.GetRegion(), n.GetWaitsFor(), n.GetNode(), n.GetHolds())
			continue
		}
		a.err.Line("not answered yet: node %s of %s; gone with its disk? domicile nodes evict %s --reason LOST, then domicile tenants excuse %s --node %s", n.GetNode(), n.GetRegion(), n.GetNode(), op.GetTenant(), n.GetNode())
	}
}

// outcome waits for what a command began, unless it was told not to.
func (a *app) outcome(ctx context.Context, cp *client.Control, op *controlv1.Operation, wait time.Duration) error {
	if wait == 0 {
		return a.result(op, func() {
			a.showOperation(op)
			a.err.Line("next: domicile operations wait %s", op.GetId())
		})
	}
	got, err := a.await(ctx, cp, op.GetId(), wait)
	if err != nil {
		return errors.Join(err, fmt.Errorf("the operation goes on: domicile operations wait %s", op.GetId()))
	}
	return a.ended(got)
}
