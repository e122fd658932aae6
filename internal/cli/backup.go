package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/controlplane/backup"
	"github.com/domicile-io/domicile/internal/screen"
)

func (a *app) backupCommand() *cobra.Command {
	return group("backup", "Back up the control plane's state, check backups, restore one",
		a.backupKey(), a.backupCreate(), a.backupStored("take", "Let a voter take a backup into its own folder, now", "takes a backup into the folder of its configuration (backup.folder), reads it back, and removes what is too old, as the schedule does", (*client.Control).TakeBackup),
		a.backupStored("check", "Let a voter read every backup in its folder, and check that each is whole", "reads every backup in its folder and checks hashes and seal; it needs no key and decrypts nothing", (*client.Control).VerifyBackups),
		a.backupInspect(), a.backupVerify(), a.backupRestore())
}

func (a *app) backupKey() *cobra.Command {
	var out string
	c := &cobra.Command{Use: "key --out NAME", Short: "Make a key pair for backups", Args: cobra.NoArgs,
		Long: `Writes NAME.key (an age identity, mode 0600) and NAME.pub (the recipient). The recipient goes into the
voters' configuration; the identity is needed to restore, and to nothing else: keep it offline, with a
copy in a safe. Whoever has lost it has no backup.`,
		RunE: a.run(func(context.Context, []string) error {
			if out == "" {
				return usagef("--out is missing: name the new key, e.g. --out backup")
			}
			file, recipient, err := backup.NewIdentity()
			if err != nil {
				return err
			}
			if err := writeNew(out+".key", []byte(file), 0o600); err != nil {
				return err
			}
			if err := writeNew(out+".pub", []byte(recipient+"\n"), 0o644); err != nil {
				return err
			}
			return a.plain(map[string]string{"identity": out + ".key", "public": out + ".pub", "recipient": recipient}, func() {
				a.out.Fields([2]string{"identity", out + ".key"}, [2]string{"public", out + ".pub"}, [2]string{"recipient", recipient})
			})
		})}
	c.Flags().StringVar(&out, "out", "", "`name` of the new files, without an ending")
	return c
}

// backupStored begins work of a voter on the backups in its folder.
func (a *app) backupStored(use, short, long string, begin func(*client.Control, context.Context, string) (*controlv1.Operation, error)) *cobra.Command {
	var voter string
	var wait time.Duration
	c := &cobra.Command{Use: use + " [--voter NAME]", Short: short, Args: cobra.NoArgs,
		Long: "The voter " + long + ". It goes on when this command is interrupted: domicile operations list.",
		RunE: a.run(func(ctx context.Context, _ []string) error {
			cp, err := a.control()
			if err != nil {
				return err
			}
			op, err := begin(cp, ctx, voter)
			if err != nil {
				return err
			}
			return a.outcome(ctx, cp, op, wait)
		})}
	c.Flags().StringVar(&voter, "voter", "", "`name` of the voter; \"\": the leader")
	c.Flags().DurationVar(&wait, "wait", 10*time.Minute, "how long to wait for its end; 0 does not wait")
	return c
}

func (a *app) backupCreate() *cobra.Command {
	var out string
	var recipients []string
	c := &cobra.Command{Use: "create --out FILE [--recipient age1…]", Short: "Take a backup now", Args: cobra.NoArgs,
		Long: `Takes a backup of the voter that is asked, as of everything that was acknowledged before. It is encrypted
to the recipients of the voter's configuration and to those given here. FILE appears once the backup is
whole, synced and read back; nothing is overwritten.`,
		Example: "  domicile backup create --out monday.backup",
		RunE: a.run(func(ctx context.Context, _ []string) error {
			if out == "" {
				return usagef("--out is missing: name the file to write")
			}
			if len(recipients) > 0 {
				if err := backup.CheckRecipients(recipients); err != nil {
					return usagef("--recipient: %v", err)
				}
			}
			cp, err := a.control()
			if err != nil {
				return err
			}
			f, err := a.fetchBackup(out, func(w io.Writer) error { return cp.Backup(ctx, recipients, w) })
			if err != nil {
				return err
			}
			return a.plain(createdBackup{File: out, backedUp: backupOf(f)}, func() {
				a.showBackup(f)
				a.out.Check("%s is whole: %s", out, f.SHA256)
				a.err.Line("  next: domicile backup verify %s --identity KEY --root-key HEX", out)
			})
		})}
	c.Flags().StringVar(&out, "out", "", "`file` to write")
	c.Flags().StringArrayVar(&recipients, "recipient", nil, "age public `key` to encrypt to as well; may be repeated")
	return c
}

// backedUp is a backup as it is printed.
type backedUp struct {
	backup.Manifest
	SHA256 string `json:"sha256"` // of the whole file, as it says itself
}

type createdBackup struct {
	File string `json:"file"`
	backedUp
}

func backupOf(f *backup.File) backedUp { return backedUp{Manifest: f.Manifest, SHA256: f.SHA256} }

// fetchBackup writes beside the file, syncs, reads back, and renames.
func (a *app) fetchBackup(path string, fetch func(io.Writer) error) (*backup.File, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("%s is already there; nothing is overwritten: choose another --out", path)
	}
	part, err := os.OpenFile(path+".part", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("write: %w; correct --out", err)
	}
	defer func() { _ = os.Remove(path + ".part") }() // gone after the rename
	bar := a.bar("fetching", -1)
	err = errors.Join(fetch(io.MultiWriter(part, bar)), bar.Exit())
	if err == nil {
		err = part.Sync()
	}
	var f *backup.File
	if err == nil {
		f, err = openBackup(part)
	}
	if err == nil {
		err = f.Check(nil)
	}
	if err = errors.Join(err, part.Close()); err != nil {
		return nil, err
	}
	if err := os.Rename(path+".part", path); err != nil {
		return nil, fmt.Errorf("put the backup in place: %w", err)
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("sync the folder: %w", err)
	}
	return f, errors.Join(d.Sync(), d.Close())
}

func (a *app) backupInspect() *cobra.Command {
	var root string
	c := &cobra.Command{Use: "inspect FILE", Short: "Say what is in a backup, and whether it is whole; needs no key", Args: cobra.ExactArgs(1),
		RunE: a.run(func(_ context.Context, args []string) error {
			trusted, err := a.rootKey(root)
			if err != nil {
				return err
			}
			in, f, err := a.readBackup(args[0], "reading")
			if err != nil {
				return err
			}
			defer in.Close()
			if err := errors.Join(f.Check(trusted), in.done()); err != nil {
				return err
			}
			return a.plain(backupOf(f), func() {
				a.showBackup(f)
				a.out.Check("the file is whole and undamaged: %s", f.SHA256)
				a.saySeal(trusted != nil)
				a.out.Note("whether it can be restored shows only: domicile backup verify %s --identity KEY", args[0])
			})
		})}
	rootFlag(c, &root)
	return c
}

func (a *app) backupVerify() *cobra.Command {
	var root, identity, scratch string
	c := &cobra.Command{Use: "verify FILE --identity FILE", Short: "Do everything that a restore does, without restoring", Args: cobra.ExactArgs(1),
		Long: `Decrypts the backup into a temporary folder (--scratch), checks its seal and every hash, opens the state and
checks every value in it, and verifies its audit log, from the first record to the signed checkpoint, with
the stand-alone verifier. What was decrypted is removed. It asks no server.`,
		Example: "  domicile backup verify monday.backup --identity backup.key --root-key 5f1c…",
		RunE: a.run(func(_ context.Context, args []string) error {
			if identity == "" {
				return usagef("--identity is missing: name the key file of `domicile backup key`")
			}
			trusted, err := a.rootKey(root)
			if err != nil {
				return err
			}
			f, err := a.verifyBackup(args[0], identity, scratch, trusted)
			if err != nil {
				return err
			}
			return a.plain(struct {
				Verified bool `json:"verified"`
				RootKey  bool `json:"root_key_checked"`
				backedUp
			}{true, trusted != nil, backupOf(f)}, func() {
				a.showBackup(f)
				a.out.Check("the file is whole, decrypts, and has the hashes that its manifest says")
				a.saySeal(trusted != nil)
				a.out.Check("the state opens, and every value in it has its checksum")
				a.out.Check("the audit log in it is the one of the signed checkpoint: nothing was changed, removed, added or moved")
			})
		})}
	c.Flags().StringVar(&identity, "identity", "", "`file` of the backup key (age identity)")
	c.Flags().StringVar(&scratch, "scratch", "", "`folder` for what is decrypted; \"\": the system's temporary folder")
	rootFlag(c, &root)
	return c
}

func (a *app) verifyBackup(path, identity, scratch string, root []byte) (_ *backup.File, err error) {
	ids, err := backup.ReadIdentity(identity)
	if err != nil {
		return nil, err
	}
	in, f, err := a.readBackup(path, "verifying")
	if err != nil {
		return nil, err
	}
	defer in.Close()
	dir, err := os.MkdirTemp(scratch, "domicile-verify-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for what is decrypted: %w; name another with --scratch", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return f, errors.Join(f.Verify(dir, ids, root), in.done())
}

// backupFile is an open backup whose reading shows progress.
type backupFile struct {
	*os.File
	bar *progressbar.ProgressBar
}

func (b backupFile) ReadAt(p []byte, at int64) (int, error) {
	n, err := b.File.ReadAt(p, at)
	_ = b.bar.Add(n) // what is read twice counts twice; the bar stops at its end
	return n, err
}

func (b backupFile) done() error { return b.bar.Exit() }

func (a *app) readBackup(path, doing string) (in backupFile, f *backup.File, err error) {
	file, err := os.Open(path)
	if err != nil {
		return in, nil, usagef("the backup cannot be read: %v", err)
	}
	info, err := file.Stat()
	if err == nil {
		in = backupFile{File: file, bar: a.bar(doing, info.Size())}
		f, err = backup.Open(in, info.Size())
	}
	if err != nil {
		return in, nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
	}
	return in, f, nil
}

func openBackup(f *os.File) (*backup.File, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read the backup back: %w", err)
	}
	return backup.Open(f, info.Size())
}

func (a *app) bar(doing string, size int64) *progressbar.ProgressBar {
	if !a.err.Terminal() {
		return progressbar.NewOptions64(size, progressbar.OptionSetVisibility(false))
	}
	return progressbar.NewOptions64(size, progressbar.OptionSetWriter(a.err.Writer()), progressbar.OptionSetDescription(doing),
		progressbar.OptionShowBytes(true), progressbar.OptionSetPredictTime(size > 0), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetSpinnerChangeInterval(0)) // else it draws from a goroutine of its own, which races with ours
}

func (a *app) showBackup(f *backup.File) {
	m := f.Manifest
	a.out.Fields([2]string{"cluster", m.Cluster}, [2]string{"taken", when(m.Created) + " of voter " + m.Voter + ", " + time.Since(m.Created).Round(time.Second).String() + " ago"},
		[2]string{"cluster epoch", number(m.ClusterEpoch)}, [2]string{"revision", number(m.Revision)}, [2]string{"Raft entry", number(m.AppliedIndex)},
		[2]string{"state", fmt.Sprintf("%d bytes, format %d", m.Parts[0].Size, m.StateFormat)}, [2]string{"program", screen.Clean(m.Program)})
}

func (a *app) saySeal(checked bool) {
	if checked {
		a.out.Check("it is sealed by a key that the root key given has certified for this cluster")
		return
	}
	a.out.Note("its seal was checked by the key that it names itself, which proves nothing: give --root-key")
}
