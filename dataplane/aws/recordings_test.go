package aws

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/dataplane/backup"
	"github.com/domicile-io/domicile/policy"
)

func (v *vault) into(folder string) error {
	return v.with(backup.Read, func(r *backup.Repository) error {
		_, err := r.Extract(v.t.Context(), "", backup.Target{Folder: folder, Blobs: v.media}, nil)
		return err
	})
}

func (v *vault) sound(name string) string {
	v.t.Helper()
	in, err := v.media.Open(v.t.Context(), name, 0, -1)
	if err != nil {
		return err.Error()
	}
	raw, err := io.ReadAll(in)
	check(v.t, errors.Join(err, in.Close()))
	return string(raw)
}

// A recording whose bytes are others under the same name and of the same size, as
// after a restore, is read again; one that is the same is not.
func TestARecordingThatIsAnotherInItsBucketIsCopied(t *testing.T) {
	v := newVault(t)
	v.load(3)
	v.must()
	const name = "TN1/RE2/0"
	check(t, v.media.Delete(t.Context(), name))
	_, err := v.media.Create(t.Context(), name, strings.NewReader("another songs!"))
	check(t, err)
	v.must()
	check(t, v.media.Delete(t.Context(), name))
	check(t, v.into(t.TempDir()))
	if got := v.sound(name); got != "another songs!" {
		t.Errorf("%q comes back", got)
	}
}

// Recordings that their bucket lacks come back into it, and into no folder; those that
// it has stay; one that is another is refused, and one that is damaged in the backup
// leaves nothing.
func TestRecordingsComeBackIntoTheirBucket(t *testing.T) {
	v := newVault(t)
	v.load(4)
	v.must()
	check(t, v.media.Delete(t.Context(), "TN1/RE1/0"))
	into := t.TempDir()
	check(t, v.into(into))
	for name, want := range map[string]string{"TN1/RE1/0": "sealed sound 1", "TN1/RE4/0": "sealed sound 4"} {
		if got := v.sound(name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	if _, err := os.Stat(into + "/media"); err == nil {
		t.Error("recordings were put on the disk, too")
	}
	check(t, v.media.Delete(t.Context(), "TN1/RE3/0"))
	_, err := v.media.Create(t.Context(), "TN1/RE3/0", strings.NewReader("somebody else!"))
	check(t, err)
	if err := v.into(t.TempDir()); err == nil || !strings.Contains(err.Error(), "other bytes") || errors.Is(err, backup.ErrDamaged) {
		t.Errorf("another recording under the name: %v", err)
	}
	for n := 1; n <= 4; n++ {
		check(t, v.media.Delete(t.Context(), "TN1/RE"+string(rune('0'+n))+"/0"))
	}
	for _, path := range v.stored("objects") {
		raw, err := os.ReadFile(path)
		check(t, err)
		raw = bytes.Clone(raw)
		raw[len(raw)-1] ^= 1
		check(t, os.WriteFile(path, raw, 0o600))
	}
	if err := v.into(t.TempDir()); !errors.Is(err, backup.ErrDamaged) {
		t.Errorf("a damaged backup: %v", err)
	}
	for n := 1; n <= 4; n++ {
		_, err := v.media.Stat(t.Context(), "TN1/RE"+string(rune('0'+n))+"/0")
		if !isReason(err, policy.NotFound) {
			t.Errorf("recording %d of a damaged backup is there: %v", n, err)
		}
	}
}
