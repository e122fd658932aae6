package cli

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/controlplane"
	"github.com/domicile-io/domicile/controlplane/backup"
)

// restoreFlags of `backup restore`.
type restoreFlags struct {
	config, identity, log, tokenFile string
	epoch                            uint64
	withoutLog, incomplete           bool
}

func (a *app) backupRestore() *cobra.Command {
	var o restoreFlags
	c := &cobra.Command{Use: "restore FILE --config FILE --identity FILE --audit FILE --token-file FILE", Short: "Make one voter's data from a backup, when the cluster is lost", Args: cobra.ExactArgs(1),
		Long: `Works on files only, with every voter of the cluster stopped for good. It verifies the backup as
"backup verify" does, and makes the data_dir of the voter that --config configures, which must be empty.
Start that voter afterwards; others join it with empty folders.

A restore begins a new cluster epoch: all tokens and roles are void but the new operator's, which is written into
--token-file, and a security officer's, beside it as FILE.officer (mode 0600, good for 72 hours), and pending changes lapse. What was revoked after the backup
stays revoked as far as --audit tells, the output of "domicile audit list -o json" from before the loss:
the newest that you have. Without one say --without-audit; regions still refuse keys that they have seen
revoked, and policies that are looser than those they have.`,
		Example: "  domicile backup restore monday.backup --config cp1.yaml --identity backup.key --audit audit.json --token-file operator.token",
		RunE:    a.run(func(_ context.Context, args []string) error { return a.restore(args[0], o) })}
	f := c.Flags()
	f.StringVar(&o.config, "config", "", "configuration `file` of the voter")
	f.StringVar(&o.identity, "identity", "", "`file` of the backup key (age identity)")
	f.StringVar(&o.log, "audit", "", "`file` of domicile audit list -o json, later than the backup")
	f.BoolVar(&o.withoutLog, "without-audit", false, "no exported audit log is at hand")
	f.BoolVar(&o.incomplete, "audit-incomplete", false, "take an audit log that lacks slugs or withdrawals, or has wrong ones; they are listed as lost")
	f.StringVar(&o.tokenFile, "token-file", "", "`file` to write the new operator's token into")
	f.Uint64Var(&o.epoch, "epoch", 0, "begin this cluster `epoch` at least; nodes that say BELOW_FLOOR have seen a later one")
	return c
}

func (a *app) restore(path string, o restoreFlags) error {
	switch {
	case o.config == "" || o.identity == "" || o.tokenFile == "":
		return usagef("--config, --identity and --token-file are all needed")
	case (o.log == "") == !o.withoutLog:
		return usagef("say --audit FILE or --without-audit: without the audit log, what was revoked after the backup may come back")
	}
	cfg, err := controlplane.LoadConfig(o.config)
	if err != nil {
		return usagef("%v", err)
	}
	ids, err := backup.ReadIdentity(o.identity)
	if err != nil {
		return err
	}
	var log *controlplane.ExportedLog
	if o.log != "" {
		log = &controlplane.ExportedLog{}
		if err := readJSON(o.log, log); err != nil {
			return err
		}
	}
	in, f, err := a.readBackup(path, "restoring")
	if err != nil {
		return err
	}
	defer in.Close()
	r, err := controlplane.Restore(cfg, controlplane.RestoreOptions{Backup: f, Identities: ids, TokenFile: o.tokenFile, Now: time.Now(), MinEpoch: o.epoch, Audit: log, Incomplete: o.incomplete})
	if err = errors.Join(in.done(), err); err != nil {
		return a.finding(err)
	}
	return a.plain(r, func() { a.showRestored(r, cfg, log != nil) })
}

func (a *app) showRestored(r controlplane.Restored, cfg controlplane.Config, withLog bool) {
	a.out.Fields([2]string{"cluster", r.Cluster}, [2]string{"cluster epoch", number(r.Epoch)}, [2]string{"revision", number(r.Revision)},
		[2]string{"from the backup of", when(r.BackupCreated) + ", revision " + number(r.FromRevision)}, [2]string{"new operator", r.Operator + ", token in " + r.TokenFile})
	a.out.Check("%s holds the state; voter %s is the only member", cfg.DataDir, cfg.Name)
	a.out.Check("all former tokens are void, and pending changes have lapsed")
	if withLog {
		a.out.Check("%d records are later than the backup; %d revocations among them were repeated", r.Replayed.Records, len(r.Replayed.Revoked))
	} else {
		a.out.Note("what was revoked after the backup may be back: compare `domicile keys list` with what you know")
	}
	if len(r.Replayed.Lost) > 0 {
		a.out.Note("these changes are lost and must be made again:")
		rows := make([][]string, 0, len(r.Replayed.Lost))
		for _, l := range r.Replayed.Lost {
			rows = append(rows, []string{when(l.Time), l.Action, l.Resource, l.Actor})
		}
		a.out.Table([]string{"TIME", "ACTION", "RESOURCE", "ACTOR"}, rows)
	}
	if os.Geteuid() == 0 { // a service has a user of its own, and could not read them
		a.err.Line("  root has written these files: chown -R them to the user of the voter's service (of a package: chown -R domicile-controlplane: %s)", cfg.DataDir)
	}
	a.err.Line("  next: start voter %s, then: export DOMICILE_TOKEN=$(cat %s); domicile status", cfg.Name, r.TokenFile)
}
