package backup

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/domicile-io/domicile/api/bundle"
	"github.com/domicile-io/domicile/controlplane/store"
	"github.com/domicile-io/domicile/policy"
	"github.com/domicile-io/domicile/regions"
)

const clusterID = "CL00000000000000000000000000000001"

// world is a small state and the keys around it.
type world struct {
	t      *testing.T
	store  *store.Store
	root   ed25519.PublicKey
	signer *bundle.Signer
	id     *age.X25519Identity
}

func newWorld(t *testing.T) *world {
	t.Helper()
	s, err := store.Open(store.Options{Path: filepath.Join(t.TempDir(), "state.db")})
	check(t, err)
	t.Cleanup(func() { _ = s.Close() })
	catalogue, err := regions.Builtin()
	check(t, err)
	first := store.InitCluster{ClusterID: clusterID, Regions: catalogue.Regions}
	for _, e := range catalogue.Entities {
		first.Entities = append(first.Entities, store.Entity{Country: e.BillingCountry, Code: e.Code, SuggestedRegion: e.SuggestedRegion})
	}
	for _, b := range catalogue.Bases {
		first.Bases = append(first.Bases, store.Basis{TransferBasis: policy.TransferBasis{ID: b.ID, State: policy.BasisState(b.State), ExpiresAt: b.ExpiresAt}})
	}
	payloads := []store.Payload{first}
	for i := range 20 {
		payloads = append(payloads, store.CreateTenant{ID: policy.TenantID(fmt.Sprintf("TN%032x", i)), Slug: policy.Slug("t-" + strings.Repeat("x", i+1)), Home: "ie1", BillingCountry: "IE"})
	}
	for i, p := range payloads {
		data, err := store.Encode(store.Command{Stamp: store.Stamp{Now: time.Unix(1000, 0), Actor: "bootstrap"}, Payload: p})
		check(t, err)
		res, err := s.Apply([]store.Entry{{Index: uint64(i + 10), Term: 3, Data: data}})
		check(t, err)
		if res[0].Err != nil {
			t.Fatalf("%T: %v %v", p, res[0].Err, res[0].Err.Fields)
		}
	}
	w := &world{t: t, store: s}
	var private ed25519.PrivateKey
	w.root, private, err = ed25519.GenerateKey(nil)
	check(t, err)
	w.signer = signerOf(t, private, w.root)
	w.id, err = age.GenerateX25519Identity()
	check(t, err)
	return w
}

func signerOf(t *testing.T, root ed25519.PrivateKey, public ed25519.PublicKey) *bundle.Signer {
	t.Helper()
	key, private, err := ed25519.GenerateKey(nil)
	check(t, err)
	s, err := bundle.NewSigner(clusterID, private.Seed(), bundle.CertifyKey(root, clusterID, key), public)
	check(t, err)
	return s
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) options(snap *store.Snapshot) WriteOptions {
	return WriteOptions{Snapshot: snap, Signer: w.signer, Recipients: []string{w.id.Recipient().String()}, Voter: "cp1", Now: time.Unix(2000, 0)}
}

func (w *world) write() ([]byte, Written) {
	w.t.Helper()
	snap, err := w.store.Snapshot()
	check(w.t, err)
	defer snap.Close()
	var b bytes.Buffer
	out, err := Write(&b, w.options(snap))
	check(w.t, err)
	return b.Bytes(), out
}

// forged is a whole, sealed backup whose manifest says something else, and
// whose payload belongs to the manifest bound (nil: the same).
func (w *world) forged(edit func(*Manifest), bound func([]byte) []byte) []byte {
	w.t.Helper()
	snap, err := w.store.Snapshot()
	check(w.t, err)
	defer snap.Close()
	m, err := manifestOf(w.options(snap))
	check(w.t, err)
	edit(&m)
	manifest, err := json.Marshal(m)
	check(w.t, err)
	var b bytes.Buffer
	check(w.t, head(&b, manifest, sealOf(manifest, w.signer)))
	if bound != nil {
		manifest = bound(manifest)
	}
	check(w.t, payload(&b, manifest, []age.Recipient{w.id.Recipient()}, snap))
	end := sha256.Sum256(b.Bytes())
	return append(b.Bytes(), end[:]...)
}

func (w *world) verify(b []byte) error {
	f, err := Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return err
	}
	return f.Verify(w.t.TempDir(), []age.Identity{w.id}, w.root)
}

func TestABackupIsReadBack(t *testing.T) {
	w := newWorld(t)
	b, out := w.write()
	if out.Size != int64(len(b)) || out.SHA256 != hex.EncodeToString(b[len(b)-32:]) {
		t.Errorf("%+v of %d bytes", out, len(b))
	}
	f, err := Open(bytes.NewReader(b), int64(len(b)))
	check(t, err)
	m := f.Manifest
	if m.Cluster != clusterID || m.Revision != 21 || m.ClusterEpoch != 1 || m.AppliedIndex != 30 || m.AppliedTerm != 3 || m.Voter != "cp1" || !m.Created.Equal(time.Unix(2000, 0)) {
		t.Errorf("%+v", m)
	}
	check(t, w.verify(b))
	dir := t.TempDir()
	path := filepath.Join(dir, "state.db")
	check(t, f.Extract(path, []age.Identity{w.id}))
	s, err := store.Open(store.Options{Path: path})
	check(t, err)
	defer s.Close()
	want, _, err := w.store.StateHash()
	check(t, err)
	if have, _, err := s.StateHash(); err != nil || have != want {
		t.Errorf("the state has hash %s, want %s (%v)", have, want, err)
	}
}

// Nothing of the state stands in a backup in plain, nor does the same state
// make the same bytes.
func TestNoBackupIsPlain(t *testing.T) {
	w := newWorld(t)
	b, _ := w.write()
	for _, secret := range []string{"TN00000000000000000000000000000001", "t-xxxx", "ie1"} {
		if bytes.Contains(b, []byte(secret)) {
			t.Errorf("%q stands in the backup", secret)
		}
	}
	again, _ := w.write()
	if bytes.Equal(b, again) {
		t.Error("two backups of one state are the same bytes")
	}
	snap, err := w.store.Snapshot()
	check(t, err)
	defer snap.Close()
	o := w.options(snap)
	for _, bad := range [][]string{nil, {}, {"age1"}, {w.id.String()}, {o.Recipients[0], "plain"}} {
		o.Recipients = bad
		if _, err := Write(&bytes.Buffer{}, o); err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("recipients %d: %v", len(bad), err)
		}
	}
}

func TestADamagedBackupIsRefused(t *testing.T) {
	w := newWorld(t)
	b, _ := w.write()
	for at := 0; at < len(b); at += 31 {
		flipped := bytes.Clone(b)
		flipped[at] ^= 1
		f, err := Open(bytes.NewReader(flipped), int64(len(flipped)))
		if err == nil {
			err = f.Check(w.root) // without a key
		}
		if err == nil {
			t.Errorf("a flipped byte at %d was not seen", at)
		}
		f, err = Open(bytes.NewReader(b[:at]), int64(at))
		if err == nil && f.Check(w.root) == nil {
			t.Errorf("a backup cut at %d was not seen", at)
		}
	}
	if w.verify(append(bytes.Clone(b), 0)) == nil {
		t.Error("a byte too many was not seen")
	}
}

// What only a thief of the bundle key could make is found all the same, each
// by the check that is there for it.
func TestEachHashOfABackupIsChecked(t *testing.T) {
	w := newWorld(t)
	zero := strings.Repeat("0", 64)
	for name, c := range map[string]struct {
		edit  func(*Manifest)
		bound func([]byte) []byte
		says  string
	}{
		"nothing forged":       {func(*Manifest) {}, nil, ""},
		"the state's hash":     {func(m *Manifest) { m.Parts[0].SHA256 = zero }, nil, "size and hash"},
		"the state's size":     {func(m *Manifest) { m.Parts[0].Size++ }, nil, "size and hash"},
		"another's payload":    {func(*Manifest) {}, func(m []byte) []byte { return append(bytes.Clone(m), ' ') }, "another manifest"},
		"the revision":         {func(m *Manifest) { m.Revision-- }, nil, "manifest says"},
		"the entry":            {func(m *Manifest) { m.AppliedIndex++ }, nil, "manifest says"},
		"the epoch":            {func(m *Manifest) { m.ClusterEpoch++ }, nil, "epoch"},
		"the checkpoint":       {func(m *Manifest) { m.Checkpoint.Note = strings.Replace(m.Checkpoint.Note, "\n21\n", "\n20\n", 1) }, nil, "audit checkpoint"},
		"the state's format":   {func(m *Manifest) { m.StateFormat++ }, nil, "format"},
		"the backup's format":  {func(m *Manifest) { m.Format++ }, nil, "format"},
		"a part that is not":   {func(m *Manifest) { m.Parts = append(m.Parts, m.Parts[0]) }, nil, "parts"},
		"text in the manifest": {func(m *Manifest) { m.Voter = "a b\x1b[2J" }, nil, "malformed"},
	} {
		err := w.verify(w.forged(c.edit, c.bound))
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

func TestOnlyTheClustersOwnBackupIsBelieved(t *testing.T) {
	w := newWorld(t)
	stranger := newWorld(t)
	b, _ := w.write()
	f, err := Open(bytes.NewReader(b), int64(len(b)))
	check(t, err)
	if err := f.Check(stranger.root); err == nil || !strings.Contains(err.Error(), "root") {
		t.Errorf("another operator's backup: %v", err)
	}
	check(t, f.Check(nil))
	dir := t.TempDir()
	if err := f.Verify(dir, []age.Identity{stranger.id}, w.root); err == nil || !strings.Contains(err.Error(), "identity") {
		t.Errorf("another's identity: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("%v was left behind", left)
	}
	// A manifest that was changed under its seal.
	edited := bytes.Replace(b, []byte(`"voter":"cp1"`), []byte(`"voter":"cp2"`), 1)
	f, err = Open(bytes.NewReader(edited), int64(len(edited)))
	check(t, err)
	if err := f.Check(w.root); err == nil || !strings.Contains(err.Error(), "changed") {
		t.Errorf("an edited manifest: %v", err)
	}
}

func TestIdentityFiles(t *testing.T) {
	file, recipient, err := NewIdentity()
	check(t, err)
	check(t, CheckRecipients([]string{recipient}))
	path := filepath.Join(t.TempDir(), "backup.key")
	check(t, os.WriteFile(path, []byte(file), 0o644))
	if _, err := ReadIdentity(path); err == nil || !strings.Contains(err.Error(), "chmod") {
		t.Errorf("a key that others may read: %v", err)
	}
	check(t, os.Chmod(path, 0o600))
	if ids, err := ReadIdentity(path); err != nil || len(ids) != 1 {
		t.Errorf("%d, %v", len(ids), err)
	}
	check(t, os.WriteFile(path, []byte("AGE-SECRET-KEY-NOT\n"), 0o600))
	if _, err := ReadIdentity(path); err == nil || strings.Contains(err.Error(), "NOT") {
		t.Errorf("no identity: %v", err)
	}
}
