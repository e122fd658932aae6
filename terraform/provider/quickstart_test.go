package provider_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The quick start is followed to the letter, in an empty folder. Only its first
// command, make build, is done beforehand: this test's programs are what it makes.
func TestQuickStart(t *testing.T) {
	s := open(t)
	page, err := os.ReadFile("../../docs/terraform-quickstart.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, m := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllSubmatch(page, -1) {
		blocks = append(blocks, string(m[1]))
	}
	if len(blocks) < 5 || blocks[0] != "make build\n" || blocks[1] != "bin/domicile dev\n" {
		t.Fatalf("the page does not begin as this test does: %q", blocks)
	}
	if err := os.Symlink(s.w.bin, filepath.Join(s.dir, "bin")); err != nil {
		t.Fatal(err)
	}
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "TF_CLI_ARGS=-no-color"}

	system := exec.Command("bash", "-c", "exec "+blocks[1])
	var said bytes.Buffer
	system.Dir, system.Env, system.Stdout, system.Stderr = s.dir, env, &said, &said
	if err := system.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = system.Process.Signal(syscall.SIGINT)
		if err := system.Wait(); err != nil {
			t.Errorf("domicile dev: %v\n%s", err, said.String())
		}
	})
	waitFor(t, filepath.Join(s.dir, ".domicile", "env"))

	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	script := exec.CommandContext(ctx, "bash", "-e", "-o", "pipefail", "-c", strings.Join(blocks[2:], "\n"))
	script.Dir, script.Env = s.dir, env
	out, err := script.CombinedOutput()
	if err != nil {
		t.Fatalf("the quick start ended with %v:\n%s", err, out)
	}
	says := regexp.MustCompile(`(?m)^# says: (.*)$`).FindAllStringSubmatch(strings.Join(blocks, "\n"), -1)
	if len(says) < 10 {
		t.Fatalf("the page promises only %d things", len(says))
	}
	for _, want := range says {
		s.says(string(out), want[1])
	}
}

func waitFor(t *testing.T, file string) {
	t.Helper()
	limit := time.After(2 * time.Minute)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(file); err == nil {
			return
		}
		select {
		case <-limit:
			t.Fatalf("%s did not appear", file)
		case <-tick.C:
		}
	}
}
