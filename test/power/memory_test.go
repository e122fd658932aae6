package power

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/internal/chaos"
	"github.com/domicile-io/domicile/policy"
)

// memory is everything that a process keeps in memory of its own.
func memory(t *testing.T, pid int) []byte {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	check(t, err)
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Skipf("SKIPPED: nobody may read another process's memory here: %v", err)
	}
	defer mem.Close()
	var out bytes.Buffer
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		var rights string
		if n, _ := fmt.Sscanf(line, "%x-%x %s", &from, &to, &rights); n == 3 && strings.HasPrefix(rights, "rw") {
			_, _ = io.Copy(&out, io.NewSectionReader(mem, from, to-from)) // what was unmapped meanwhile is gone
		}
	}
	return out.Bytes()
}

// keysIn are the keys that a key table has, by its folder.
func keysIn(t *testing.T, s *site, name string) map[[32]byte]bool {
	t.Helper()
	dir := filepath.Join(s.dir, name)
	check(t, chaos.Copy(filepath.Join(s.data, "keys"), dir))
	k, err := local.OpenKeyring(local.Options{Dir: dir, Region: "ie1", Existing: true})
	check(t, err)
	defer k.Close()
	k.Freeze(policy.Errorf(policy.NotReady, "it is being read"))
	h, err := k.Handover()
	check(t, err)
	out := map[[32]byte]bool{}
	for _, b := range h.Births {
		check(t, k.EachKey(b.Generation, func(_ uint64, key *[32]byte) error {
			if key != nil {
				out[*key] = true
			}
			return nil
		}))
	}
	return out
}

// remains says what of a person, and of keys, stands in the memory of a node.
func remains(t *testing.T, s *site, texts []string, keys map[[32]byte]bool) (found []string) {
	t.Helper()
	raw := memory(t, s.node.PID())
	for _, text := range texts {
		for form, b := range map[string][]byte{"": []byte(text), " without its plus": []byte(strings.TrimPrefix(text, "+"))} {
			if n := bytes.Count(raw, b); n > 0 {
				found = append(found, fmt.Sprintf("%q%s, %d times", text, form, n))
			}
		}
	}
	begins := map[uint64][32]byte{} // one pass for all keys; where they stand they are aligned
	for key := range keys {
		begins[binary.LittleEndian.Uint64(key[:])] = key
	}
	n := 0
	for i := 0; i+32 <= len(raw); i += 4 {
		if key, ok := begins[binary.LittleEndian.Uint64(raw[i:])]; ok && bytes.Equal(raw[i:i+32], key[:]) {
			n++
		}
	}
	if n > 0 {
		found = append(found, fmt.Sprintf("keys of the table, %d times", n))
	}
	return found
}

// Whoever has the memory of a node's process after an erasure, when what may be held
// for ten minutes has ended, finds neither the person nor a key that was destroyed:
// not in caches, not in what the collector has freed and nobody has used since.
func TestINV21_MemoryAfterAnErasure(t *testing.T) {
	s := openSite(t, siteOptions{})
	check(t, s.node.Kill())
	s.arm("", "", 0)
	check(t, s.start())
	_, region := s.place("acme-ie", atHome(sealedClasses()))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	texts := []string{"+353867391846", "Zqvxwy Braonain Kjwzq", "zqvw-erased-kjxqz", "zqvwspokenkjxqz"}
	c := newCall(texts[2])
	c.From, c.CallerName = texts[0], texts[1]
	stored, err := region.CreateCall(ctx, c)
	check(t, err)
	_, err = region.PutTranscript(ctx, data.NewTranscript{CallID: stored.ID, Language: "en", Segments: []data.Segment{{Speaker: "a", EndMS: 1000, Text: texts[3]}}})
	check(t, err)
	b := &book{seed: 1}
	r := b.begin()
	for range 3 { // of others, and read with it, so that it is in caches
		first := r.take(200)
		var calls []data.NewCall
		for i := range 200 {
			calls = append(calls, b.call(r, first+i))
		}
		_, err := region.Batch(ctx, client.Upload{Body: bytes.NewReader(lines(calls...))})
		check(t, err)
	}
	check(t, region.AllCalls(ctx, client.Filter{PageSize: 1000}, func(data.Call) error { return nil }))
	found, err := region.SearchCalls(ctx, data.Search{Number: texts[0]})
	if err != nil || len(found.Calls) != 1 {
		t.Fatalf("%d calls, %v", len(found.Calls), err)
	}
	before := keysIn(t, s, "keys-before")
	if n := len(remains(t, s, texts, before)); n < len(texts)+1 {
		t.Fatalf("void: only %d of the texts and keys are in memory while they are there", n)
	}
	certificate, err := region.EraseSubject(ctx, data.SubjectRef{Number: texts[0]})
	check(t, err)
	until(t, startLimit, "an erasure is executed", func() error {
		if certificate, err = region.Certificate(ctx, certificate.ID); err != nil || certificate.State == "pending" {
			return fmt.Errorf("%s %w", certificate.State, err)
		}
		return nil
	})
	check(t, s.admin(ctx, "POST", "/keys:rotate"))
	left := keysIn(t, s, "keys-after")
	for key := range left {
		delete(before, key)
	}
	if len(before) == 0 {
		t.Fatal("void: no key was destroyed")
	}
	t.Logf("%d keys were destroyed; at once there remain: %v", len(before), remains(t, s, texts, before))
	check(t, os.WriteFile(s.slept, []byte("13m"), 0o600)) // the machine sleeps, and what is held ends
	until(t, 4*startLimit, "the memory of a node forgets", func() error {
		if found := remains(t, s, texts, before); found != nil {
			return errors.New(strings.Join(found, "; "))
		}
		return nil
	})
}
