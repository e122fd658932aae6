package pasted_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/internal/pasted"
)

func follow(t *testing.T, page string) (string, error) {
	t.Helper()
	return pasted.Follow(context.Background(), []byte(page), pasted.Options{Dir: t.TempDir(), Env: []string{"PATH=/usr/bin:/bin"}, Done: []string{"make build"}, CI: "step tests\nmake test\n"})
}

func TestAPageThatHolds(t *testing.T) {
	said, err := follow(t, "# A page\n\n```sh\nmake build\n```\n\n```sh ci\nmake test   # everything\n```\n\n```sh terminal\ntrap 'echo bye; exit 0' INT; echo up; while :; do read -t 1 || :; done < <(tail -f /dev/null)\n# says: up\n```\n\n```sh\nword=there\n```\n\n```text\nfalse\n```\n\n```sh\necho hello   $word\n# says: hello there\n```\n")
	if err != nil || !strings.Contains(said, "hello there") || !strings.Contains(said, "bye") {
		t.Errorf("%v: %s", err, said)
	}
}

// A command that asks gets what stands behind it, and nothing else does.
func TestAnAnswerIsTyped(t *testing.T) {
	said, err := follow(t, "```sh\nread -r \\\n  one\n# types: it's me\necho hello $one\n# says: hello it's me\nread -r two || echo nobody types\n# says: nobody types\n```\n")
	if err != nil {
		t.Errorf("%v: %s", err, said)
	}
}

// Each page here has one mistake, which must be found and named.
func TestMistakesOfAPageAreFound(t *testing.T) {
	for what, page := range map[string]string{
		"line 2":                "x\n```sh\ndomicile-does-not-exist\n```\n",
		"did not say":           "```sh\necho one\n# says: two\n```\n",
		"line 4":                "```sh\necho two\n```\n```sh\necho one\n# says: two\n```\n", // another block's words do not count
		"before it said":        "```sh terminal\necho short\n# says: long\n```\n",
		"nothing to wait for":   "```sh terminal\nsleep 1000\n```\n",
		".ci/run does not run":  "```sh ci\nmake tea\n```\n",
		"nobody knows what":     "```sh later\ntrue\n```\n",
		"no shell block":        "nothing\n",
		"failed (exit status 3": "```sh\n(exit 3) | cat\n```\n",
	} {
		if _, err := follow(t, page); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("want %q, got %v", what, err)
		}
	}
}

// A block that hangs ends with the page's limit, and what it started with it.
func TestABlockThatHangsEnds(t *testing.T) {
	began := time.Now()
	_, err := pasted.Follow(context.Background(), []byte("```sh\nsleep 300\ntrue\n```\n"), pasted.Options{Dir: t.TempDir(), Env: []string{"PATH=/usr/bin:/bin"}, Limit: 100 * time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), "deadline") || time.Since(began) > 200*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}
