package release

import (
	"strings"
	"testing"
)

func TestABuildWithoutTheLinkersWordsSaysSo(t *testing.T) {
	i := Of()
	if i.Version == "" || i.Go == "" || i.Platform == "" {
		t.Errorf("a field is empty: %+v", i)
	}
	if !plain.MatchString(i.Version) {
		t.Errorf("the version %q is not plain", i.Version)
	}
}

func TestTheLinkersWordsCount(t *testing.T) {
	version, commit, date = "1.2.3-dev.20261128130134.bad470d", strings.Repeat("ab", 20), "2026-11-28T13:01:34Z"
	defer func() { version, commit, date = "", "", "" }()
	i := Of()
	if got := i.String(); !strings.HasPrefix(got, "1.2.3-dev.20261128130134.bad470d abababababab of 2026-11-28T13:01:34Z (go") {
		t.Errorf("got %q", got)
	}
	version = "1.2.3 (of somebody)"
	if got := Of().Version; got != "unknown" {
		t.Errorf("a version that is not plain: %q, want unknown", got)
	}
}
