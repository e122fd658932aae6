package subject

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane/record"
	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// opened is an archive as its bearer reads it.
type opened struct {
	manifest data.Manifest
	calls    []data.SubjectCall
	all      []byte // every part, together
}

func (r *region) export(w Who) opened {
	r.t.Helper()
	var raw bytes.Buffer
	must(r.t, r.service.Export(context.Background(), tenant, w, false, &raw))
	z, err := zip.NewReader(bytes.NewReader(raw.Bytes()), int64(raw.Len()))
	must(r.t, err)
	var out opened
	sums := map[string]string{}
	for i, f := range z.File {
		body, err := f.Open()
		must(r.t, err)
		b, err := io.ReadAll(body)
		must(r.t, err)
		out.all = append(out.all, b...)
		sum := sha256.Sum256(b)
		sums[f.Name] = hex.EncodeToString(sum[:])
		switch f.Name {
		case "manifest.json":
			if i != len(z.File)-1 {
				r.t.Error("the manifest is not the last part")
			}
			must(r.t, json.Unmarshal(b, &out.manifest))
		case "calls.jsonl":
			for line := range bytes.Lines(b) {
				var c data.SubjectCall
				must(r.t, json.Unmarshal(line, &c))
				out.calls = append(out.calls, c)
			}
		}
	}
	if len(out.manifest.Parts) != len(z.File)-1 || out.manifest.Counts["calls"] != len(out.calls) {
		r.t.Errorf("the manifest says %+v of %d parts and %d calls", out.manifest, len(z.File), len(out.calls))
	}
	for _, p := range out.manifest.Parts {
		if sums[p.Name] != p.SHA256 {
			r.t.Errorf("the hash of %s is another", p.Name)
		}
	}
	return out
}

func TestExportMasksTheOtherParty(t *testing.T) {
	r := newRegion(t)
	r.populate()
	a := r.export(r.who(person))
	roles := map[string]int{}
	for _, c := range a.calls {
		roles[c.Role]++
		if c.Role != "earlier version" && c.Number != person {
			t.Errorf("another's number as the person's own: %+v", c)
		}
		if c.Role == "callee" && (c.Other != "+353*******11" || c.Name != "" || c.STIR != nil) {
			t.Errorf("the caller is not masked: %+v", c)
		}
	}
	if roles["caller"] != 3 || roles["callee"] != 1 || roles["earlier version"] != 1 {
		t.Errorf("roles %v", roles)
	}
	for _, secret := range []string{"861111111", "caller of to", "1001", "orig-" + friend, "863333333", "somebody else"} {
		if bytes.Contains(a.all, []byte(secret)) {
			t.Errorf("the archive shows %q of others", secret)
		}
	}
	if _, err := r.service.Find(context.Background(), otherTenant, r.who(person)); err != nil {
		t.Fatal(err)
	}
	wantReason(t, r.service.Export(context.Background(), otherTenant, r.who(person), false, io.Discard), policy.NotFound)
}

// TestINV25: an archive is exactly what an independent scan attributes to the
// person: the scan looks at every record that was ever sent, and knows who had
// which number when; it uses no index, no subject id and no query.
func TestINV25_ExportIsWhatAFullScanAttributes(t *testing.T) {
	for seed := range uint64(6) {
		r := newRegion(t)
		dice := rand.New(rand.NewPCG(seed, 25))
		people := []string{person, friend, "+353862222222", "+14155550123", "+442071838750"}
		handed := epoch.Add(90 * time.Minute) // person's number goes to somebody else
		type sent struct {
			rec   record.Record
			first time.Time // start of the call's first event
		}
		var all []sent
		byCall := map[string]time.Time{}
		send := func(n int) {
			from, to := people[dice.IntN(len(people))], people[dice.IntN(len(people))]
			start := epoch.Add(time.Duration(dice.IntN(180)) * time.Minute)
			id := fmt.Sprintf("c-%d", dice.IntN(n+1))
			rec := r.call(id, from, to, start)
			rec.CallKey, rec.Key.NativeID = id, id
			rec.ContentHash = [32]byte{byte(n), byte(n >> 8), 7}
			first, known := byCall[id]
			if !known {
				first = start
				byCall[id] = first
			}
			r.append(rec)
			all = append(all, sent{rec, first})
		}
		for n := range 60 {
			send(n)
		}
		_, err := r.service.Reassign(context.Background(), tenant, r.who(person), epoch.Add(4*time.Hour))
		wantReason(t, err, policy.InvalidArgument)
		r.now = epoch.Add(3 * time.Hour)
		_, err = r.service.Reassign(context.Background(), tenant, r.who(person), handed)
		must(t, err)
		for n := 60; n < 120; n++ {
			send(n) // late ones among them
		}
		scan := func(number string, since, until time.Time) (ids []string) {
			seen := map[string]bool{}
			for _, s := range all {
				theirs := s.rec.From.E164 == number || s.rec.To.E164 == number
				if theirs && !s.first.Before(since) && s.first.Before(until) && !seen[s.rec.CallKey] {
					seen[s.rec.CallKey] = true
					ids = append(ids, s.rec.CallKey)
				}
			}
			slices.Sort(ids)
			return ids
		}
		nativeOf := map[string]string{}
		for _, c := range r.list(everyCall) {
			nativeOf[c.ID] = c.Record.CallKey
		}
		compare := func(what string, w Who, want []string) {
			var got []string
			for _, c := range r.export(w).calls {
				got = append(got, nativeOf[c.ID])
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("seed %d, %s: exported %v, the scan says %v", seed, what, got, want)
			}
		}
		end := epoch.AddDate(1, 0, 0)
		compare("friend", r.who(friend), scan(friend, time.Time{}, end))
		owners, err := r.service.Find(context.Background(), tenant, r.who(person))
		if err != nil || len(owners) != 2 {
			t.Fatalf("%v %v", owners, err)
		}
		wantReason(t, r.service.Export(context.Background(), tenant, r.who(person), false, io.Discard), policy.InvalidArgument) // which one?
		w := r.who(person)
		w.Subject = owners[0].Subject
		compare("former owner", w, scan(person, time.Time{}, handed))
		w.Subject = owners[1].Subject
		compare("latter owner", w, scan(person, handed, end))

		// Erasing one owner leaves the other's calls.
		w.Subject = owners[0].Subject
		r.erase(w)
		left := 0
		for _, c := range r.list(everyCall) {
			if strings.Contains(c.Record.From.E164+c.Record.To.E164, person) {
				left++
				if c.ListedAt.Before(handed) {
					t.Errorf("seed %d: a call of the former owner is left", seed)
				}
			}
		}
		nativeOf = map[string]string{}
		for _, c := range r.list(everyCall) {
			nativeOf[c.ID] = c.Record.CallKey
		}
		w.Subject = owners[1].Subject
		compare("latter owner, after the former was erased", w, scan(person, handed, end))
		r.close()
	}
}

var everyCall store.Query
