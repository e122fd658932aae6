package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/domicile-io/domicile/policy"
)

// contents prints everything but the applied position.
func contents(t testing.TB, s *Store) string {
	t.Helper()
	var b strings.Builder
	err := s.view(func(tx *bolt.Tx) error {
		for _, name := range buckets {
			if err := tx.Bucket(name).ForEach(func(k, v []byte) error {
				if !bytes.Equal(k, metaApplied) {
					fmt.Fprintf(&b, "\n%s/%q = %x", name, k, v)
				}
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// history is a log that uses every kind, refusals included.
func history(t testing.TB) []Entry {
	t.Helper()
	f := seeded(t)
	var log []Entry
	add := func(p Payload, key int) {
		s := f.stamp()
		if key > 0 {
			s.IdempotencyKey, s.RequestHash = uuid(key), hexHash(fmt.Sprint(key))
		}
		data, err := Encode(Command{Stamp: s, Payload: p})
		if err != nil {
			t.Fatal(err)
		}
		log = append(log, Entry{Index: uint64(len(log) + 1), Term: 1, Data: data})
	}
	add(seed(), 0)
	tn := f.tenant(1, "ie1")
	add(createTenant(1, "ie1"), 1)
	add(createTenant(1, "ie1"), 1)
	add(createTenant(1, "ie1"), 2)
	recipients := createTenant(2, "us1")
	recipients.Policy = exporting(f, "us1", recipient(1, "au1"), recipient(2, "ie1"))
	add(recipients, 3)
	p := got(f.Policy(tn.ID))(t)
	for i := 1; i <= 4; i++ {
		add(CreateKey{Key: apiKey(i, tn.ID, "ie1", policy.RoleIngest)}, 0)
	}
	add(addChange(1, p, loosened(p.ResidencyPolicy)), 4)
	add(PutPolicy{Tenant: tn.ID, IfMatch: p.ETag, Policy: tightened(p.ResidencyPolicy)}, 5)
	add(RejectChange{ID: id[string](policy.KindChange, 1)}, 0)
	add(UpdateTenant{ID: tn.ID, IfMatch: tn.ETag, BillingCountry: "US"}, 0)
	add(PutRegion{Region: policy.Region{ID: "fr1", Boundary: "eu", Country: "FR", Cloud: "x", BackupRegion: "none", Lifecycle: policy.Planned}}, 0)
	add(CreateToken{Token: Token{SHA256: hexHash("t"), Principal: id[string](policy.KindPrincipal, 2), Scope: scope("auditor", "")}}, 0)
	add(DeleteKey{Tenant: tn.ID, ID: id[policy.KeyID](policy.KindKey, 1), IfMatch: "4"}, 0)
	add(PutBasis{ID: "SCC", State: policy.BasisRevoked, IfMatch: "1"}, 6)
	add(DrillBasis{ID: "NONE"}, 0)
	add(PutFeature{Feature: Feature{Region: "au1", Name: "voice", Stage: "beta", Limits: []FeatureLimit{{"LEGS", 7}, {"CALLS", 9}}, Certifications: []string{"SOC-2", "ISO-27001"}}}, 0)
	add(PutEntity{Entity: Entity{Country: "NZ", Code: "DOM-AU", SuggestedRegion: "au1"}}, 0)
	add(member(1), 6)
	add(invitation(f, 4), 7)
	add(joining(4), 0)
	add(joining(4), 0)
	add(invitation(f, 5), 0)
	add(RemoveMember{ClusterID: clusterID, Name: "cp1", Node: member(1).Node}, 0)
	raised := joining(5)
	raised.Version = 2
	add(raised, 0)
	add(RemoveMember{ClusterID: clusterID, Name: "cp4", Node: member(4).Node}, 0)
	add(RaiseVersion{ClusterID: clusterID, Version: 2}, 8)
	add(Nop{}, 0)
	log = append(log, Entry{Index: uint64(len(log) + 1), Term: 2})
	return log
}

func TestINV32_SameLogSameState(t *testing.T) {
	log := history(t)
	var want string
	for run := range 20 { // map order differs from run to run
		f := empty(t)
		for i := 0; i < len(log); { // and so do batches
			n := min(1+(run+i)%4, len(log)-i)
			if _, err := f.Apply(log[i : i+n]); err != nil {
				t.Fatal(err)
			}
			i += n
		}
		h, index, err := f.StateHash()
		if err != nil || index != uint64(len(log)) {
			t.Fatalf("at %d: %v", index, err)
		}
		if want == "" {
			want = h
		}
		if h != want {
			t.Fatalf("run %d: another state", run)
		}
	}
}

func TestHistoryHasItsEffects(t *testing.T) {
	f := empty(t)
	log := history(t)
	rs, err := f.Apply(log)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for _, r := range rs {
		if r.Err != nil {
			refused++
		}
	}
	if refused != 1 || !rs[2].Replayed { // the taken slug
		for i, r := range rs {
			t.Logf("%d: %d %v", i+1, r.Kind, r.Err)
		}
		t.Errorf("%d refusals, want 1", refused)
	}
}

func TestEntriesAreAppliedOnce(t *testing.T) {
	f := empty(t)
	log := history(t)
	if _, err := f.Apply(log); err != nil {
		t.Fatal(err)
	}
	before, _, _ := f.StateHash()
	if _, err := f.Apply(log); err != nil {
		t.Fatal(err)
	}
	if after, _, _ := f.StateHash(); after != before {
		t.Error("a replayed log changed the state")
	}
}

func TestReopenKeepsEverything(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s, err := Open(Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(history(t)); err != nil {
		t.Fatal(err)
	}
	hash, index, _ := s.StateHash()
	revision := s.Revision()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Regions(); err == nil {
		t.Error("a closed store answers")
	}
	if s, err = Open(Options{Path: path}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	again, at, _ := s.StateHash()
	applied, term := s.Applied()
	if again != hash || at != index || applied != index || term != 2 || s.Revision() != revision || len(s.Topology().Regions()) != 5 {
		t.Errorf("state %s at %d, term %d, revision %d", again, at, term, s.Revision())
	}
}

// An unknown command, or one that cannot be read, stops the node: nothing of
// the batch is applied and nothing is served any more.
func TestUnreadableCommandStops(t *testing.T) {
	good, err := Encode(Command{Stamp: Stamp{Now: empty(t).now, Actor: actor}, Payload: createTenant(1, "ie1")})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"unknown kind":   {commandJSON, 0x7f, 0xff, '{', '}'},
		"unknown format": append([]byte{99}, good[1:]...),
		"short":          {commandJSON, 0},
		"cut":            good[:len(good)-1],
		"trailing":       append(append([]byte{}, good...), '{'),
		"unknown field":  bytes.Replace(good, []byte(`"slug"`), []byte(`"snail"`), 1),
		"no json":        {commandJSON, 0, 2, 0xff},
	} {
		t.Run(name, func(t *testing.T) {
			f := seeded(t)
			before, _ := f.Applied()
			_, err := f.Apply([]Entry{{Index: 2, Term: 1, Data: good}, {Index: 3, Term: 1, Data: data}})
			if err == nil {
				t.Fatal("applied")
			}
			if at, _ := f.Applied(); at != before {
				t.Errorf("applied index went on to %d", at)
			}
			if _, err := f.Regions(); err == nil {
				t.Error("the broken store still answers")
			}
		})
	}
	f := seeded(t)
	for i, form := range []byte{commandJSON, commandPacked} {
		if _, err := f.Apply([]Entry{{Index: uint64(2 + i), Term: 1, Data: []byte{form, 0xff, 0xff}}}); err != nil {
			t.Errorf("an ignorable kind of form %d stopped the node: %v", form, err)
		}
	}
}

func TestForeignFormatIsRefused(t *testing.T) {
	f := seeded(t)
	overwrite(t, f.Store, bucketMeta, metaFormat, seal(bucketMeta, metaFormat, []byte(strconv.Itoa(Format+1))))
	path := f.path
	check(t, f.Close())
	if _, err := Open(Options{Path: path}); err == nil || !strings.Contains(err.Error(), fmt.Sprint("format ", Format+1)) {
		t.Errorf("got %v", err)
	}
}

func TestINV34_CorruptValueIsFound(t *testing.T) {
	f := seeded(t)
	a, b := f.tenant(1, "ie1"), f.tenant(2, "ie1")
	var other []byte
	check(t, f.view(func(tx *bolt.Tx) error {
		other = append(other, tx.Bucket(bucketTenants).Get([]byte(b.ID))...)
		return nil
	}))
	overwrite(t, f.Store, bucketTenants, []byte(a.ID), other) // a valid value, but another's
	if _, err := f.Tenant(a.ID); !errors.Is(err, errCorrupt) {
		t.Errorf("read: %v", err)
	}
	if _, _, err := f.StateHash(); !errors.Is(err, errCorrupt) {
		t.Errorf("state hash: %v", err)
	}
	path := f.path
	check(t, f.Close())
	if _, err := Open(Options{Path: path}); !errors.Is(err, errCorrupt) {
		t.Errorf("open: %v", err)
	}
}

// A byte flipped anywhere in the file's pages is found at the latest on open,
// or lies in free space and changes nothing.
func TestINV34_FlippedByteIsFound(t *testing.T) {
	f := empty(t)
	if _, err := f.Apply(history(t)); err != nil {
		t.Fatal(err)
	}
	want, _, _ := f.StateHash()
	var file bytes.Buffer // the pages in use, without the space that bbolt reserves
	check(t, f.view(func(tx *bolt.Tx) error { _, err := tx.WriteTo(&file); return err }))
	found := 0
	p := filepath.Join(t.TempDir(), "state.db")
	for at := 0; at < file.Len(); at += file.Len()/40 + 1 {
		flipped := bytes.Clone(file.Bytes())
		flipped[at] ^= 0x40
		check(t, os.WriteFile(p, flipped, 0o600))
		// In a process of its own: bbolt reads pages in a goroutine of its own, and
		// a fault there stops the node, as it must, and cannot be caught.
		c := exec.Command(os.Args[0], "-test.run=^TestOpenInAProcess$")
		c.Env = append(os.Environ(), openVariable+"="+p)
		out, err := c.Output()
		if err != nil {
			found++
		} else if !strings.Contains(string(out), "state "+want) {
			t.Errorf("byte %d: another state was served", at)
		}
	}
	if found == 0 {
		t.Error("no flip was found: the test looks in the wrong place")
	}
}

const openVariable = "DOMICILE_TEST_OPEN_STATE"

// TestOpenInAProcess is what TestINV34_FlippedByteIsFound runs for each flip.
func TestOpenInAProcess(t *testing.T) {
	path := os.Getenv(openVariable)
	if path == "" {
		t.Skip("no state to open: another test runs this one")
	}
	s, err := Open(Options{Path: path})
	check(t, err)
	h, _, err := s.StateHash()
	check(t, err)
	fmt.Println("state", h)
	check(t, s.Close())
}

func overwrite(t testing.TB, s *Store, bucket, key, raw []byte) {
	t.Helper()
	check(t, s.update(func(tx *bolt.Tx) error { return tx.Bucket(bucket).Put(key, raw) }))
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
