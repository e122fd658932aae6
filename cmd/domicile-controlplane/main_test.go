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

// Whoever upgrades asks the new program about the configuration before it is started.
func TestCheckSaysThatAConfigurationIsInOrder(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "cp1.yaml")
	config := "name: cp1\ndata_dir: " + dir + "/data\ntls: &tls {certificate: a, key: a, ca: a}\ngateway_tls: *tls\nrest_address: 127.0.0.1:1\ngrpc_address: 127.0.0.1:2\nraft_address: 127.0.0.1:3\n" +
		"bundle_key: a\nbundle_key_certificate: a\nroot_public_key: \"" + strings.Repeat("00", 32) + "\"\nvoters: [{name: cp1, raft_address: \"127.0.0.1:3\", grpc_address: \"127.0.0.1:2\"}]\n"
	for _, c := range []struct {
		more, says string
		code       int
	}{{"", "in order: voter cp1", 0}, {"colour: blue\n", "colour", exitUsage}} {
		if err := os.WriteFile(path, []byte(config+c.more), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if code := run(t.Context(), []string{"--config", path, "--check"}, &out); code != c.code || !strings.Contains(out.String(), c.says) {
			t.Errorf("exit %d, %q; want %d and %q", code, out.String(), c.code, c.says)
		}
		if _, err := os.Stat(dir + "/data"); err == nil {
			t.Error("the check made data_dir")
		}
	}
}
