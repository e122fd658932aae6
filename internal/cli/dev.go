//go:build unix

package cli

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/internal/dev"
	"github.com/domicile-io/domicile/internal/story"
)

// devDir is where dev leaves addresses and token, in the folder that it runs in.
const devDir = dev.DefaultDir

func (a *app) devCommand() *cobra.Command {
	var o dev.Options
	var demo, exit bool
	c := &cobra.Command{Use: "dev", Short: "Run the whole system on this machine", Args: cobra.NoArgs,
		Long: `Runs a control plane of three voters and a node in each active region, in one process, on 127.0.0.1,
with real TLS and real files. Keys, token, ports and data stay in the data folder and are there again
at the next start. Logs go to files in the data folder.

--demo tells the whole story first, step by step, and checks each; it may be repeated on the same
folder. With --exit it ends after the story (0 when every check held) and, unless --data-dir is given,
uses a temporary folder.`,
		Example: "  domicile dev\n  domicile dev --demo --exit\n  domicile dev --data-dir /tmp/try --env-file /tmp/try/env",
	}
	f := c.Flags()
	f.StringVar(&o.Dir, "data-dir", dev.DefaultDir, "`folder` that holds everything; one process at a time")
	f.StringVar(&a.envFile, "env-file", "", "`file` to write addresses, authority and token to, once all is ready (default DIR/env)")
	f.BoolVar(&demo, "demo", false, "tell the story and check it")
	f.BoolVar(&exit, "exit", false, "with --demo: end after the story")
	f.DurationVar(&o.ExportInterval, "export-interval", dev.DefaultExportInterval, "`time` between two looks at closed export windows")
	f.DurationVar(&o.ExportWindow, "export-window", dev.DefaultExportWindow, "`length` of an export window")
	c.RunE = a.run(func(ctx context.Context, _ []string) error {
		if exit && !demo {
			return usagef("--exit ends after the story: give --demo too")
		}
		if o.ExportInterval <= 0 || o.ExportWindow <= 0 {
			return usagef("--export-interval and --export-window must be longer than nothing")
		}
		o.EnvFile, o.TerraformProvider = a.envFile, beside("terraform-provider-domicile")
		dir := o.Dir
		if exit && !c.Flags().Changed("data-dir") {
			tmp, err := os.MkdirTemp("", "domicile-demo-")
			if err != nil {
				return fmt.Errorf("make a temporary folder: %w", err)
			}
			defer os.RemoveAll(tmp)
			o.Dir = tmp
		}
		return a.runDev(ctx, o, mode{demo: demo, exit: exit, temporary: o.Dir != dir})
	})
	return c
}

// mode is what dev does besides running.
type mode struct{ demo, exit, temporary bool }

// runDev starts, tells, waits and stops.
func (a *app) runDev(ctx context.Context, o dev.Options, m mode) (err error) {
	began := time.Now()
	a.out.Line("Starting three voters and one node in each region …")
	env, err := dev.Start(ctx, o)
	if err != nil {
		return err
	}
	defer func() {
		a.out.Line("")
		if stopErr := env.Close(); err == nil {
			err = stopErr
		}
		if m.temporary {
			a.out.Line("Stopped; its temporary folder is removed. To try the commands, tell it again and stay: %s dev --demo", program())
		} else {
			a.out.Line("Stopped. Everything is kept in %s.", relative(env.Dir()))
		}
	}()
	a.showParts(env, time.Since(began))
	if m.demo {
		if err := story.Tell(ctx, story.Options{Env: env, Screen: a.out, Program: program()}); err != nil {
			return err
		}
	}
	if m.exit {
		return nil
	}
	a.showFirstSteps(env, env.Has(ctx, firstTenant))
	select {
	case <-ctx.Done():
		return nil
	case err := <-env.Failed():
		return err
	}
}

// beside finds a program next to this one; "" when it is not there.
func beside(name string) string {
	self, err := os.Executable()
	if err != nil {
		return ""
	}
	path := filepath.Join(filepath.Dir(self), name)
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	return path
}

// program is how the reader started us, so that commands can be copied.
func program() string {
	self, err := os.Executable()
	if err != nil {
		return "domicile"
	}
	if strings.Contains(self, string(filepath.Separator)+"go-build") {
		return "go run ./cmd/domicile"
	}
	if found, err := exec.LookPath("domicile"); err == nil && found == self {
		return "domicile"
	}
	if rel := relative(self); rel != self {
		return "." + string(filepath.Separator) + rel
	}
	return self
}

// relative shortens a path inside the working folder.
func relative(path string) string {
	wd, err := os.Getwd()
	if err != nil {
		return path
	}
	rel, err := filepath.Rel(wd, path)
	if err != nil || strings.HasPrefix(rel, "..") {
		return path
	}
	return rel
}
