package dataplane

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/aws"
	"github.com/domicile-io/domicile/dataplane/aws/awstest"
	"github.com/domicile-io/domicile/dataplane/local"
)

func TestKeysConfig(t *testing.T) {
	for text, c := range map[string]KeysConfig{
		"keys.rotate_every":   {RotateEvery: 21 * time.Hour},
		"keys.rotate_spacing": {RotateSpacing: -1},
	} {
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%+v: %v, want %s", c, err, text)
		}
	}
	if err := (KeysConfig{}).Check(); err != nil {
		t.Error(err)
	}
}

// TestKeysOfARunningNode asks a node over its socket, as `domicile-dataplane
// keys` does.
func TestKeysOfARunningNode(t *testing.T) {
	cfg, opts := nodeConfig(t, "ie1", "dp")
	short, err := os.MkdirTemp("", "dom") // a socket's path has 108 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(short) })
	cfg.DataDir, cfg.Keys.Copy = filepath.Join(short, "data"), filepath.Join(short, "copy")
	n, err := Open(context.Background(), cfg, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close(context.Background())
	socket := filepath.Join(cfg.DataDir, AdminSocket)
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the socket: %v %v", info, err)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	defer client.CloseIdleConnections()
	ask := func(method, path string) local.Status {
		t.Helper()
		req, _ := http.NewRequest(method, "http://node"+path, nil)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var out struct{ Status local.Status }
		if err := json.NewDecoder(resp.Body).Decode(&out); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s %s: %s %v", method, path, resp.Status, err)
		}
		return out.Status
	}
	if s := ask("GET", "/keys"); s.Generation != 1 || s.Copy != "up" || s.NextTime.Sub(s.Created) != defaultRotateEvery || s.Names == 0 {
		t.Errorf("%+v", s)
	}
	if s := ask("POST", "/keys:rotate"); s.Generation != 2 || s.Rotations != 1 || len(s.Pending) != 1 || s.Pending[0].Destroyed.IsZero() {
		t.Errorf("%+v", s)
	}
	if err := n.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	// The records are there and the table is not: no new one is made.
	for _, dir := range []string{filepath.Join(cfg.DataDir, keysDir), cfg.Keys.Copy} {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	_, opts2 := nodeConfig(t, "ie1", "dp")
	if _, err := Open(context.Background(), cfg, opts2); err == nil || !strings.Contains(err.Error(), "no key table") {
		t.Errorf("a new keyring beside old records: %v", err)
	}
}

// INV05: a node on a key service starts, rotates, and has every connection to it
// in its ledger, as LOCAL_KEY; a misspelt setting is named.
func TestINV05_KeysOnAKeyService(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL", "https://127.0.0.1:1")
	service := awstest.NewKMS(t, "eu-west-1")
	cfg, opts := nodeConfig(t, "ie1", "dp")
	cfg.Keys.AWSKMS = &aws.KMSConfig{Account: aws.Account{Region: "eu-west-1", Endpoint: service.URL, CredentialsFile: service.Login, CA: service.CA}}
	n, err := Open(context.Background(), cfg, opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.keyring.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	var seen []string
	for _, e := range n.door.Entries() {
		if "https://"+e.Destination == service.URL {
			seen = append(seen, e.Class.String())
		}
	}
	if len(seen) != 1 || seen[0] != "LOCAL_KEY" {
		t.Errorf("the ledger has the key service as %v", seen)
	}
	if s := service.States(); s["Enabled"] != 1 || s["PendingDeletion"] != 1 {
		t.Errorf("KMS keys: %v", s)
	}
	if _, err := os.Stat(filepath.Join(cfg.DataDir, keysDir, "root.key")); err == nil {
		t.Error("a root key lies beside the key service")
	}
	if err := n.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	_, opts = nodeConfig(t, "ie1", "dp")
	service.Down(true)
	if _, err := Open(context.Background(), cfg, opts); err == nil || !strings.Contains(err.Error(), "unwrap the key of generation 2") {
		t.Errorf("a start without the key service: %v", err)
	}
	cfg.Keys.RootFile = "/root.key"
	if err := cfg.Check(); err == nil || !strings.Contains(err.Error(), "give one of root_file, aws_kms and pkcs11") {
		t.Errorf("two custodians: %v", err)
	}
	for _, text := range []string{"keys: {aws_kms: {regoin: x}}", "keys: {pkcs11: {pin: 1234}}", "keys: {rotate: 1h}"} {
		path := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadConfig(path); err == nil || !strings.Contains(err.Error(), "not found in type") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
