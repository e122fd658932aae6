package provider_test

import (
	"context"
	"os"
	"testing"

	"github.com/domicile-io/domicile/internal/pasted"
)

// The quick start is followed to the letter, in an empty folder. Only its first
// command, make build, is done beforehand: this test's programs are what it makes.
func TestQuickStart(t *testing.T) {
	s := open(t)
	page, err := os.ReadFile("../../docs/terraform-quickstart.md")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(pasted.Blocks(page)); n < 5 {
		t.Fatalf("the page has only %d blocks", n)
	}
	if err := pasted.Programs(s.dir, s.w.bin); err != nil {
		t.Fatal(err)
	}
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "TF_CLI_ARGS=-no-color"}
	if _, err := pasted.Follow(context.Background(), page, pasted.Options{Dir: s.dir, Env: env, Done: []string{"make build"}}); err != nil {
		t.Fatal(err)
	}
}
