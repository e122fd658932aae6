package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good.yaml")
	config := `region: ie1
data_dir: ` + dir + `/data
tls: {certificate: absent.pem, key: absent.pem, ca: absent.pem}
listen_address: 127.0.0.1:0
hosts: [127.0.0.1]
control_plane: [127.0.0.1:1]
root_public_key: "` + strings.Repeat("00", 32) + `"
base_urls: {ie1: "https://127.0.0.1:1"}
default_country: IE
`
	bad := filepath.Join(dir, "bad.yaml")
	for path, text := range map[string]string{good: config, bad: config + "regoin: us1\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"nothing":        {nil, exitUsage, "--config"},
		"unknown flag":   {[]string{"--verbose"}, exitUsage, "verbose"},
		"argument":       {[]string{"--config", good, "extra"}, exitUsage, "--config"},
		"absent file":    {[]string{"--config", filepath.Join(dir, "absent.yaml")}, exitUsage, "absent.yaml"},
		"unknown key":    {[]string{"--config", bad}, exitUsage, "regoin"},
		"checked":        {[]string{"--config", good, "--check"}, exitOK, "is in order: a node of region"},
		"scrub nothing":  {[]string{"scrub"}, exitUsage, "--config"},
		"scrub empty":    {[]string{"scrub", "--config", good}, exitOK, "0 are not what was written"},
		"no certificate": {[]string{"--config", good}, exitFailed, "absent.pem"},
	} {
		var stderr bytes.Buffer
		if code := run(context.Background(), c.args, &stderr); code != c.code || !strings.Contains(stderr.String(), c.says) {
			t.Errorf("%s: exit %d, %q; want %d and %q", name, code, stderr.String(), c.code, c.says)
		}
	}
}

func TestKeysNeedsAVerbAndANode(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "node.yaml")
	config := "region: ie1\ndata_dir: " + dir + "/data\ntls: {certificate: a, key: a, ca: a}\nlisten_address: 127.0.0.1:0\nhosts: [127.0.0.1]\ncontrol_plane: [127.0.0.1:1]\nroot_public_key: \"" +
		strings.Repeat("00", 32) + "\"\nbase_urls: {ie1: \"https://127.0.0.1:1\"}\ndefault_country: IE\n"
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"nothing":      {nil, exitUsage, "keys rotate"},
		"another verb": {[]string{"show", "--config", path}, exitUsage, "keys rotate"},
		"no config":    {[]string{"status"}, exitUsage, "--config"},
		"no node":      {[]string{"status", "--config", path}, exitFailed, "start it"},
		"bad format":   {[]string{"status", "--config", path, "-o", "xml"}, exitUsage, "json"},
	} {
		var out, stderr bytes.Buffer
		if code := keys(t.Context(), c.args, &out, &stderr); code != c.code || !strings.Contains(stderr.String(), c.says) {
			t.Errorf("%s: exit %d, %q; want %d and %q", name, code, stderr.String(), c.code, c.says)
		}
	}
}
