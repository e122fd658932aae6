// Package cli is the operator's command line.
//
// Every command takes its addresses and credentials from flags, then from the
// environment, then from the file named by --env-file (which `domicile dev`
// writes); the control plane's token also from `domicile login`; and from nowhere else: there is no default region, and a region's
// address is found by the region that the key itself names. What a machine that signs
// knows of root and tenants (see pin) lies in the user's configuration folder.
//
// Exit codes, for scripts:
//
//	0  done
//	1  refused or failed: asking again in the same way will fail again
//	2  the command line is wrong
//	3  not available now: try again later
//	4  outcome unknown: the change may or may not be done; repeat the command
//
// Results go to standard output, everything else to standard error. With
// -o json a refusal prints its problem document on standard error.
package cli

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/internal/screen"
)

// Streams are the three standard streams.
type Streams struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
}

// Run executes the command line and gives the process's exit code.
func Run(ctx context.Context, args []string, s Streams) int {
	a := &app{in: s.In, out: screen.New(s.Out), err: screen.New(s.Err), getenv: os.Getenv}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	err := root.ExecuteContext(ctx)
	if err != nil && !a.started {
		err = &usageError{err: err} // cobra found it before any command ran
	}
	return a.report(err)
}

// app is one invocation.
type app struct {
	in       io.Reader
	out, err *screen.Screen
	getenv   func(string) string
	started  bool // a command's own code runs

	controlURL, token, ca string
	regionURL, key        string
	envFile, output       string
	file                  map[string]string // of --env-file, once read
}

type action func(ctx context.Context, args []string) error

// run adapts a command's own code to cobra.
func (a *app) run(do action) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		a.started = true
		if a.output != "table" && a.output != "json" {
			return usagef("-o takes table or json")
		}
		return do(cmd.Context(), args)
	}
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "domicile",
		Short: "Keep each tenant's communications data in its home region, and prove it",
		Long: `Domicile keeps each tenant's call records in one home region: taken in, stored, processed and
viewed there and nowhere else. What must cross a border crosses it only as pseudonyms, through one
door, under a named legal basis, counted in a ledger.

The first three things to type, on this machine, with nothing else installed:

  domicile dev --demo --exit                     watch the whole story, checked step by step, then stop
  domicile dev --env-file env                    three voters and three regions, until Ctrl-C
  domicile tenants list --env-file env           in another terminal: who is at home where

A control plane that runs elsewhere: set DOMICILE_CONTROL_URL and DOMICILE_CA, then domicile login.
Completion for your shell: domicile completion --help.

There is no default region anywhere. Addresses and credentials come from flags, then from the
environment (DOMICILE_CONTROL_URL, DOMICILE_TOKEN, DOMICILE_CA, DOMICILE_<REGION>_URL, DOMICILE_KEY),
then from the file named by --env-file or DOMICILE_ENV_FILE; a token also from domicile login. What a
signer's machine has pinned lies in its configuration folder, or in DOMICILE_TRUST_DIR.

Exit codes: 0 done, 1 refused or failed, 2 wrong command line, 3 not available now, 4 outcome unknown.`,
		SilenceErrors: true, SilenceUsage: true,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			a.started = true
			return cmd.Help()
		},
	}
	f := root.PersistentFlags()
	f.StringVar(&a.controlURL, "control-url", "", "control plane's `URL` (DOMICILE_CONTROL_URL)")
	f.StringVar(&a.token, "token", "", "bearer `token` for the control plane (DOMICILE_TOKEN)")
	f.StringVar(&a.ca, "ca", "", "PEM `file` of the authority to trust (DOMICILE_CA)")
	f.StringVar(&a.regionURL, "region-url", "", "region's `URL` (DOMICILE_<REGION>_URL; the key names the region)")
	f.StringVar(&a.key, "key", "", "region's API `key`, sk_… (DOMICILE_KEY)")
	f.StringVar(&a.envFile, "env-file", "", "`file` of KEY=value lines, read after flags and environment (DOMICILE_ENV_FILE)")
	f.StringVarP(&a.output, "output", "o", "table", "`format` of results: table or json")
	root.AddGroup(
		&cobra.Group{ID: "start", Title: "Start here:"},
		&cobra.Group{ID: "control", Title: "Control plane (rules and places; no personal data):"},
		&cobra.Group{ID: "region", Title: "Region (records; needs a key of that region):"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("start", a.devCommand(), a.statusCommand(), a.explainCommand())
	add("control", a.tenantsCommand(), a.policiesCommand(), a.regionsCommand(), a.keysCommand(),
		a.changesCommand(), a.tokensCommand(), a.principalsCommand(), a.loginCommand(), a.logoutCommand(), a.whoamiCommand(), a.bootstrapCommand(), a.recipientsCommand(), a.nodesCommand(), a.membersCommand(), a.violationsCommand(), a.pkiCommand(), a.trustCommand())
	add("control", a.auditCommand(), a.operationsCommand(), a.backupCommand(), a.recoveryCommand())
	add("control", a.basesCommand(), a.entitiesCommand())
	add("region", a.recordsCommand(), a.recordingsCommand(), a.transcriptsCommand(), a.feedsCommand(), a.quarantineCommand(), a.receiptsCommand(), a.rollupsCommand(),
		a.subjectsCommand(), a.egressCommand(), a.transfersCommand(), a.receivedCommand(), a.simulateCommand())
	add("start", a.versionCommand())
	root.SetHelpCommandGroupID("start")
	root.SetCompletionCommandGroupID("start")
	root.SetFlagErrorFunc(unknownFlag)
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
	a.completing(root)
	explained(root)
	return root
}

// group makes a command that only holds others; alone it is a usage error that lists them.
func group(use, short string, children ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			_ = cmd.Help()
			return errors.New("say what to do: " + cmd.CommandPath() + " " + names(cmd.Commands()))
		}}
	c.AddCommand(children...)
	return c
}
