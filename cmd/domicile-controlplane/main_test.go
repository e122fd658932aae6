package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestUsageErrorsExit2AndSayWhy(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("nmae: cp1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"--config":  {},
		"nmae":      {"--config", bad},
		"no such":   {"--config", bad + ".absent"},
		"-verbose":  {"--verbose"},
		"nothing e": {"--config", bad, "more"},
	} {
		var out bytes.Buffer
		if code := run(context.Background(), args, &out); code != exitUsage || !strings.Contains(out.String(), want) {
			t.Errorf("%v: exit %d, %q", args, code, out.String())
		}
	}
	if code := run(context.Background(), []string{"--help"}, &bytes.Buffer{}); code != 0 {
		t.Errorf("--help exits %d", code)
	}
}
