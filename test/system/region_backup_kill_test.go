package system

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// killed runs a command of domicile-dataplane and kills it when a moment has
// come; it reports whether the command was faster.
func (v *vault) killed(moment func() bool, args ...string) (ended bool) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "domicile-dataplane"), append(args, "--config", v.c.Process("ie1").Config())...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	check(v.t, cmd.Start())
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			if err != nil {
				v.t.Fatalf("domicile-dataplane %s: %v\n%s", strings.Join(args, " "), err, out.String())
			}
			return true
		case <-tick.C:
			if moment() {
				check(v.t, cmd.Process.Kill())
				<-done
				return false
			}
		}
	}
}

func files(pattern ...string) int {
	found, _ := filepath.Glob(filepath.Join(pattern...))
	return len(found)
}

func (v *vault) verified() {
	v.t.Helper()
	if out := v.must("backup", "verify"); !strings.Contains(out, "0 missing or changed") {
		v.t.Error(out)
	}
}

// killedInASnapshot kills the node while it writes one. What was there before is whole.
func (v *vault) killedInASnapshot() {
	v.t.Helper()
	begun := files(v.folder, "objects", "*", "*")
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		v.node("backup", "create", "--full")
	}()
	until(v.t, time.Minute, "the snapshot has begun to write", func() error {
		if files(v.folder, "objects", "*", "*") == begun {
			return errors.New("nothing is written yet")
		}
		return nil
	})
	check(v.t, v.c.Process("ie1").Kill())
	<-asked
	v.verified() // the node does not run
}

// The node is killed while it takes a snapshot, and the commands while they prune,
// verify and restore: what was there before is whole, and the next try succeeds.
func TestINV33_KillsSpareTheBackups(t *testing.T) { killsSpareBackups(openVault(t)) }

func killsSpareBackups(v *vault) {
	t := v.t
	v.load(0, 300)
	v.create()
	want := v.calls()

	v.killedInASnapshot()
	v.start()
	until(t, time.Minute, "a snapshot after the kill", func() error {
		if out, errs, code := v.node("backup", "create"); code != 0 {
			return fmt.Errorf("%s%s", out, errs)
		}
		return nil
	})
	v.verified()
	if _, err := os.Stat(filepath.Join(v.data, "backup.tmp")); err == nil {
		t.Error("the killed snapshot's hard links are left")
	}
	for range 3 {
		v.load(300, 310)
		v.create()
	}
	check(t, v.c.Process("ie1").Kill())

	before := files(v.folder, "snapshots", "*")
	kills := 0
	for n := 1; n < 20; n++ {
		if v.killed(func() bool { return files(v.folder, "snapshots", "*") <= before-n }, "backup", "prune", "--keep", "1") {
			break
		}
		kills++
		v.verified()
	}
	t.Logf("prune was killed %d times", kills)
	v.killed(func() bool { return true }, "backup", "verify")
	v.verified()

	check(t, os.RemoveAll(v.data))
	restoring := filepath.Join(v.data, "restore.tmp")
	for n, moment := range []func() bool{
		func() bool { return files(restoring, "records", "*") > 0 },
		func() bool { return files(restoring, "records", "*") > 3 },
		func() bool { return files(restoring, "exports", "*") > 0 },
		func() bool { return files(restoring, "ready") > 0 },
		func() bool { return files(v.data, "records", "*") > 0 },
	} {
		if v.killed(moment, "restore") {
			t.Logf("restore was killed %d times", n)
			break
		}
		if _, err := os.Stat(restoring); err == nil {
			if _, errs, code := v.node(); code == 0 || !strings.Contains(errs, "cut short") {
				t.Errorf("the node starts on half a restore: %s", errs)
			}
		}
	}
	if files(v.data, "restored.json") == 0 || files(restoring) > 0 {
		v.must("restore") // the last kill may have come between the report and the end
	}
	v.start()
	until(t, time.Minute, "reads", func() error {
		got := v.calls()
		for id, c := range want {
			if got[id] != c {
				return fmt.Errorf("call %s is not what it was", id)
			}
		}
		return nil
	})
}
