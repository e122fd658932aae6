package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/controlplane/server"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/internal/instance"
	"github.com/domicile-io/domicile/internal/screen"
)

// What a violation says to type is a command that exists, with flags that it takes.
func TestRemediesAreCommands(t *testing.T) {
	const hex32 = "00000000000000000000000000000001"
	causes := []string{"BUCKET_LOCATION", "BUCKET_REPLICATION", "BUCKET_KEY", "CANARY_NOT_REFUSED", "CORRUPT_VALUES", "STATE_HASH", "BAD_SIGNATURE", "STORAGE", "DOCUMENT_REPLAYED", "ADMISSION_ENDED", "EVICTED_NODE", "NOT_ADMITTED", string(instance.WrongRegion)}
	seen := 0
	for _, category := range store.ViolationCategories {
		for _, cause := range causes {
			v := store.Violation{ID: "VI" + hex32, Category: category, Cause: cause, Resource: "ND" + hex32}
			cmds := server.Remediation("CL"+hex32, v)
			if len(cmds) == 0 || !strings.Contains(cmds[len(cmds)-1], v.ID) {
				t.Errorf("%s %s: %q", category, cause, cmds)
			}
			for _, line := range cmds {
				seen++
				if err := parses(line); err != nil {
					t.Errorf("%s %s says to type %q: %v", category, cause, line, err)
				}
			}
		}
	}
	if seen < 100 {
		t.Errorf("only %d commands", seen)
	}
	for _, bad := range []string{"domicile nodes shoot X", "domicile nodes evict", "domicile nodes evict X --rason LOST", "rm -rf /"} {
		if parses(bad) == nil {
			t.Errorf("%q parses: this test shows nothing", bad)
		}
	}
}

// parses reports why a line is no command of ours.
func parses(line string) error {
	words := strings.Fields(line)
	if words[0] != "domicile" {
		return usagef("it does not begin with domicile")
	}
	var out bytes.Buffer
	a := &app{out: screen.New(&out), err: screen.New(&out), getenv: func(string) string { return "" }}
	cmd, rest, err := a.root().Find(words[1:])
	if err != nil {
		return err
	}
	if cmd.RunE == nil || cmd.HasSubCommands() {
		return usagef("%s is no command that does anything", cmd.CommandPath())
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}
