package aws

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/dataplane/aws/awstest"
	"github.com/domicile-io/domicile/dataplane/egress"
	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

var _ local.Custodian = (*KMS)(nil)

const cluster = "CL00000000000000000000000000000001"

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// clientOf is a client through a real door that declares destinations.
func clientOf(t *testing.T, ca string, destinations ...string) (*egress.Door, *egress.Client) {
	t.Helper()
	door, err := egress.New(egress.Options{Region: "ie1", Dir: t.TempDir(), Flush: time.Millisecond})
	check(t, err)
	t.Cleanup(func() { _ = door.Close() })
	for _, d := range destinations {
		check(t, door.Allow(policy.LocalKey, egress.HostPort(d)))
	}
	roots := x509.NewCertPool()
	if ca != "" {
		pem, err := os.ReadFile(ca)
		check(t, err)
		roots.AppendCertsFromPEM(pem)
	}
	client, err := door.HTTP(egress.Route{Class: policy.LocalKey, Region: "ie1"}, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12})
	check(t, err)
	return door, client
}

func open(t *testing.T, s *awstest.KMS) (*KMS, *egress.Door) {
	t.Helper()
	c := KMSConfig{Account: Account{Region: "eu-west-1", Endpoint: s.URL, CredentialsFile: s.Login, CA: s.CA}}
	door, client := clientOf(t, s.CA, c.Destinations()...)
	k, err := NewKMS(KMSOptions{Config: c, Cluster: cluster, Region: "ie1", Client: client})
	check(t, err)
	t.Cleanup(func() { _ = k.Close() })
	return k, door
}

func isReason(err error, r policy.Reason) bool { return errors.Is(err, &policy.Error{Reason: r}) }

func TestKMSKeepsAGeneration(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL", "https://127.0.0.1:1")
	t.Setenv("AWS_ENDPOINT_URL_KMS", "https://127.0.0.1:1")
	t.Setenv("AWS_REGION", "us-east-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDOTHER")
	s := awstest.NewKMS(t, "eu-west-1")
	k, door := open(t, s)
	token, key, err := k.Create(t.Context(), 7)
	check(t, err)
	if key == [32]byte{} {
		t.Fatal("an empty key")
	}
	got, err := k.Unwrap(t.Context(), 7, token, store.UseNode)
	if err != nil || got != key {
		t.Fatalf("the key again: %v", err)
	}
	if calls := s.Served("Decrypt"); len(calls) != 1 || calls[0].Use != "node" {
		t.Errorf("the use is not told: %+v", calls)
	}
	for _, c := range s.Calls {
		if c.Error != "" {
			t.Errorf("%+v", c)
		}
	}
	if _, err := k.Unwrap(t.Context(), 8, token, store.UseNode); !isReason(err, policy.Internal) {
		t.Errorf("another generation: %v", err)
	}
	s.SetState("Disabled")
	if _, err := k.Unwrap(t.Context(), 7, token, store.UseNode); !isReason(err, policy.NotReady) {
		t.Errorf("a disabled key: %v", err)
	}
	s.SetState("Enabled")
	final, err := k.Destroy(t.Context(), 7, token)
	check(t, err)
	if in := time.Until(final); in < 6*24*time.Hour || in > 8*24*time.Hour {
		t.Errorf("final in %s", in)
	}
	again, err := k.Destroy(t.Context(), 7, token)
	if err != nil || !again.Equal(final) {
		t.Errorf("destroyed again: %s, %v; want %s", again, err, final)
	}
	if _, err := k.Unwrap(t.Context(), 7, token, store.UseNode); !isReason(err, policy.NotReady) {
		t.Errorf("while it waits for deletion: %v", err)
	}
	s.Pass(7 * 24 * time.Hour)
	if _, err := k.Unwrap(t.Context(), 7, token, store.UseNode); !isReason(err, policy.Destroyed) {
		t.Errorf("after the window: %v", err)
	}
	_, err = k.Destroy(t.Context(), 7, token)
	check(t, err)
	entries := door.Entries()
	if len(entries) != 1 || entries[0].Class != policy.LocalKey || "https://"+entries[0].Destination != s.URL || entries[0].BytesOut == 0 {
		t.Errorf("INV05: the ledger holds %+v", entries)
	}
}

func TestKMSRefusals(t *testing.T) {
	s := awstest.NewKMS(t, "eu-west-1")
	k, _ := open(t, s)
	token, _, err := k.Create(t.Context(), 1)
	check(t, err)
	// A key of another region of AWS is refused without asking.
	abroad := []byte(strings.Replace(string(token), "eu-west-1", "us-east-1", 1))
	before := len(s.Calls)
	if _, err := k.Unwrap(t.Context(), 1, abroad, store.UseNode); !isReason(err, policy.EgressDenied) || len(s.Calls) != before {
		t.Errorf("a key abroad: %v", err)
	}
	// Another cluster's node, with the same rights, does not open the generation.
	k.o.Cluster = "CL00000000000000000000000000000002"
	if _, err := k.Unwrap(t.Context(), 1, token, store.UseNode); !isReason(err, policy.Internal) {
		t.Errorf("another cluster: %v", err)
	}
	// A service of another region makes keys that are refused, and given up.
	other := awstest.NewKMS(t, "us-east-1")
	c := KMSConfig{Account: Account{Region: "eu-west-1", Endpoint: other.URL, CredentialsFile: other.Login, CA: other.CA}}
	_, client := clientOf(t, other.CA, c.Destinations()...)
	far, err := NewKMS(KMSOptions{Config: c, Cluster: cluster, Region: "ie1", Client: client})
	check(t, err)
	if _, _, err := far.Create(t.Context(), 1); err == nil {
		t.Error("a service that is signed for another region")
	}
	// What is not declared is not dialed, and nothing is sent in the clear.
	_, closed := clientOf(t, s.CA)
	shut, err := NewKMS(KMSOptions{Config: KMSConfig{Account: Account{Region: "eu-west-1", Endpoint: s.URL, CredentialsFile: s.Login}}, Cluster: cluster, Region: "ie1", Client: closed})
	check(t, err)
	if _, err := shut.Unwrap(t.Context(), 1, token, store.UseNode); !isReason(err, policy.EgressDenied) {
		t.Errorf("not declared: %v", err)
	}
	// A wrong secret.
	check(t, os.WriteFile(s.Login, []byte(`{"AccessKeyId":"`+awstest.AccessKey+`","SecretAccessKey":"wrong","SessionToken":"session"}`), 0o600))
	bad, _ := open(t, s)
	if _, _, err := bad.Create(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "IncompleteSignature") {
		t.Errorf("a wrong secret: %v", err)
	}
	check(t, os.Chmod(s.Login, 0o644))
	bad, _ = open(t, s)
	if _, _, err := bad.Create(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("credentials that others read: %v", err)
	}
}

func TestKMSConfig(t *testing.T) {
	for want, c := range map[string]KMSConfig{
		"keys.aws_kms.region":           {Account: Account{Region: "ie1", InstanceRole: true}},
		"keys.aws_kms.endpoint":         {Account: Account{Region: "eu-west-1", InstanceRole: true, Endpoint: "http://kms"}},
		"keys.aws_kms.credentials_file": {Account: Account{Region: "eu-west-1"}},
		"keys.aws_kms.deletion_days":    {Account: Account{Region: "eu-west-1", InstanceRole: true}, DeletionDays: 6},
	} {
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", c, err, want)
		}
	}
	c := KMSConfig{Account: Account{Region: "eu-west-1", InstanceRole: true}}
	check(t, c.Check())
	if d := fmt.Sprint(c.Destinations()); d != "[https://kms.eu-west-1.amazonaws.com http://169.254.169.254]" {
		t.Error(d)
	}
}

// The role of a machine: IMDSv2, through the door.
func TestInstanceRole(t *testing.T) {
	s := awstest.NewKMS(t, "eu-west-1")
	metadata := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token":
			w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "300")
			fmt.Fprint(w, "v2")
		case r.Header.Get("X-Aws-Ec2-Metadata-Token") != "v2":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/latest/meta-data/iam/security-credentials/":
			fmt.Fprint(w, "node")
		case r.URL.Path == "/latest/meta-data/iam/security-credentials/node":
			_ = json.NewEncoder(w).Encode(map[string]string{"Code": "Success", "AccessKeyId": awstest.AccessKey, "SecretAccessKey": awstest.Secret, "Token": "session",
				"Expiration": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)})
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer metadata.Close()
	c := KMSConfig{Account: Account{Region: "eu-west-1", Endpoint: s.URL, InstanceRole: true}}
	door, client := clientOf(t, s.CA, s.URL, metadata.URL)
	k, err := NewKMS(KMSOptions{Config: c, Cluster: cluster, Region: "ie1", Client: client, metadata: metadata.URL})
	check(t, err)
	if _, _, err := k.Create(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if n := len(door.Entries()); n != 2 {
		t.Errorf("INV05: %d destinations in the ledger", n)
	}
}

// TestINV21_KMSGenerationsEnd runs a whole keyring on the key service: rotation,
// outage, and the window after which nothing opens the old table.
func TestINV21_KMSGenerationsEnd(t *testing.T) {
	s := awstest.NewKMS(t, "eu-west-1")
	k, _ := open(t, s)
	dir := t.TempDir()
	o := local.Options{Dir: filepath.Join(dir, "main"), Copy: filepath.Join(dir, "copy"), Region: "ie1", Custodian: k, Refresh: time.Hour, RotateSpacing: time.Hour}
	ring, err := local.OpenKeyring(o)
	check(t, err)
	id, _, err := ring.Draw()
	check(t, err)
	kept, key, err := ring.Draw()
	check(t, err)
	old := filepath.Join(dir, "old")
	check(t, os.CopyFS(old, os.DirFS(o.Dir)))
	check(t, ring.Destroy([]store.KeyID{id}))
	gen, err := ring.Retire()
	check(t, err)
	s.Down(true)
	if err := ring.Rotate(context.Background()); err == nil {
		t.Fatal("a rotation without the key service")
	}
	s.Down(false)
	check(t, ring.Rotate(t.Context()))
	if states := s.States(); states["Enabled"] != 1 || states["PendingDeletion"] != 1 {
		t.Errorf("keys: %v", states)
	}
	fate, err := ring.Fate(gen)
	check(t, err)
	if fate.IsFinal(time.Now()) || !fate.IsFinal(time.Now().AddDate(0, 0, 8)) || fate.Destroyed.IsZero() {
		t.Errorf("%+v", fate)
	}
	if got, err := ring.Open(kept); err != nil || got != key {
		t.Error(err)
	}
	check(t, ring.Close())
	// No root key lies in the folder.
	if _, err := os.Stat(filepath.Join(o.Dir, "root.key")); err == nil {
		t.Error("a root key file beside a key service")
	}
	thief := o
	thief.Dir, thief.Copy = old, ""
	thief.Custodian, _ = open(t, s)
	if ring, err := local.OpenKeyring(thief); err == nil {
		ring.Close()
		t.Error("the old table opens while its KMS key waits for deletion")
	}
	s.Pass(8 * 24 * time.Hour)
	thief.Custodian, _ = open(t, s)
	if _, err := local.OpenKeyring(thief); !isReason(err, policy.Destroyed) {
		t.Errorf("the old table after the window: %v", err)
	}
	o.Custodian, _ = open(t, s)
	ring, err = local.OpenKeyring(o)
	check(t, err)
	if got, err := ring.Open(kept); err != nil || got != key {
		t.Error(err)
	}
	check(t, ring.Close())
	o.Custodian = nil
	if _, err := local.OpenKeyring(o); err == nil || !strings.Contains(err.Error(), "aws-kms") {
		t.Errorf("a file custodian for a table of KMS: %v", err)
	}
}
