package cli_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/internal/cli"
	"github.com/domicile-io/domicile/internal/dev"
)

// Status is read by somebody who was woken up: each state must say what is
// wrong and what to do, and never send its reader back to status.
func TestStatusSaysWhatIsWrongAndWhatToDo(t *testing.T) {
	e, err := dev.Start(context.Background(), dev.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	ctx := context.Background()
	status := func() (string, int) {
		var out, errs bytes.Buffer
		code := cli.Run(ctx, []string{"--control-url", e.ControlURL(), "--token", e.Token(), "--ca", e.CAFile(), "status"},
			cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
		return out.String() + errs.String(), code
	}
	expect := func(state string, wantCode int, words ...string) {
		t.Helper()
		text, code := status()
		if code != wantCode {
			t.Errorf("%s: exit code %d, want %d\n%s", state, code, wantCode, text)
		}
		for _, w := range words {
			if !strings.Contains(text, w) {
				t.Errorf("%s: want %q in\n%s", state, w, text)
			}
		}
		if strings.Contains(text, "`domicile status`") {
			t.Errorf("%s: sends its reader in circles:\n%s", state, text)
		}
	}
	expect("all well", 0, "✓ nothing is wrong", "voters           3")
	for _, v := range []string{"cp2", "cp3"} {
		if err := e.StopVoter(ctx, v); err != nil {
			t.Fatal(err)
		}
	}
	expect("a minority is left", 1, "has no leader", "a majority must run", "voters           3",
		"voter cp2 does not answer cp1", "voter cp3 does not answer cp1")
	if err := e.StopVoter(ctx, "cp1"); err != nil {
		t.Fatal(err)
	}
	expect("nobody is left", 1, "does not answer at "+e.ControlURL(), "regions go on")
}
