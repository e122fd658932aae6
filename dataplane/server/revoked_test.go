package server

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane/gate"
	"github.com/domicile-io/domicile/dataplane/intake"
	"github.com/domicile-io/domicile/dataplane/local"
	"github.com/domicile-io/domicile/dataplane/subject"
	"github.com/domicile-io/domicile/policy"
)

// withoutKeys is the bundle from which every key of tenant a was taken.
func (r *region) withoutKeys() {
	all := rows()
	all[0].Tenant.Keys = nil
	r.bundle.view.Store(newView(r.t, 2, all))
}

// A batch whose key is taken away while it arrives: what was stored before stays, and
// nothing more is taken.
func TestINV20_ARevokedKeyBringsNothingMore(t *testing.T) {
	r := start(t)
	revoke := r.withoutKeys
	r.store.after.Store(&revoke)
	p := r.refusal(policy.Unauthenticated, http.MethodPost, "/v1/calls:batch", writer, lines(5*chunkRecords))
	r.store.after.Store(nil)
	if p.Metadata["accepted"] != fmt.Sprint(chunkRecords) {
		t.Errorf("%s records were taken, want those of the first chunk", p.Metadata["accepted"])
	}
}

// A recording that is taken slowly is cut when its key is taken away.
func TestINV20_ARevokedKeyTakesNothingMore(t *testing.T) {
	r := start(t)
	r.server.stillEvery = 0
	sound := wav(32<<20, 7) // more than both ends' buffers
	got := r.record(writer, "", sound)
	req, err := http.NewRequest(http.MethodGet, "https://"+r.addr+"/v1/recordings/"+got.ID+"/media", nil)
	must(t, err)
	req.Header.Set("Authorization", "Bearer "+reader)
	resp, err := r.client.Do(req)
	must(t, err)
	defer resp.Body.Close()
	begin := make([]byte, 64<<10)
	if _, err := io.ReadFull(resp.Body, begin); err != nil || !bytes.Equal(begin, sound[:len(begin)]) {
		t.Fatalf("the beginning of the sound: %v", err)
	}
	r.withoutKeys()
	if n, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Errorf("%d bytes more came to their end", n)
	}
}

// persons gives a region a service about persons over what it has.
func (r *region) persons(keys *local.Keyring, media subject.Media) {
	r.t.Helper()
	ledger, err := subject.OpenLedger(r.t.TempDir(), keys, r.id)
	must(r.t, err)
	r.t.Cleanup(func() { _ = ledger.Close() })
	_, signer, err := ed25519.GenerateKey(nil)
	must(r.t, err)
	r.server.o.Subjects, err = subject.New(subject.Options{Region: r.id, Store: r.store, Ledger: ledger, Gate: r.gate, CallingCode: intake.CallingCode,
		Sign: func(b []byte) ([]byte, error) { return ed25519.Sign(signer, b), nil }, Media: media})
	must(r.t, err)
}

func startWithKeys(t *testing.T) (r *region, keys *local.Keyring) {
	r = startWith(t, func(*local.Options) {}, func(_ *gate.Options, k *local.Keyring) { keys = k })
	return r, keys
}

// whenRead calls something when the first recording of an archive is read.
type whenRead struct{ then func() }

func (whenRead) Any(context.Context, policy.TenantID) (bool, error) { return false, nil }

func (whenRead) Forget(context.Context, policy.TenantID, string) (uint64, uint64, error) {
	return 0, 0, nil
}

func (w whenRead) Each(_ context.Context, _ policy.TenantID, call string, yield func(subject.Medium) error) error {
	w.then()
	sound := wav(1<<20, 3)
	return yield(subject.Medium{Name: "recordings/" + call + ".wav", Kind: "recordings", Meta: struct{}{},
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(sound)), nil }})
}

// An archive of a person is cut when its key is taken away.
func TestINV20_ARevokedKeyTakesNoArchive(t *testing.T) {
	r, keys := startWithKeys(t)
	r.server.stillEvery = 0
	r.persons(keys, whenRead{func() {}})
	r.newCall(writer, "one")
	var calls data.Calls
	r.get("/v1/calls?"+year, reader, &calls)
	person, err := json.Marshal(data.SubjectExport{SubjectRef: data.SubjectRef{Number: calls.Calls[0].From.E164}})
	must(t, err)
	if status, raw := r.post("/v1/subjects:export", reader, string(person)); status != http.StatusOK || len(raw) < 1<<20 {
		t.Fatalf("an archive: %d, %d bytes", status, len(raw))
	}
	r.server.o.Subjects = nil
	r.persons(keys, whenRead{r.withoutKeys})
	req, err := http.NewRequest(http.MethodPost, "https://"+r.addr+"/v1/subjects:export", bytes.NewReader(person))
	must(t, err)
	req.Header.Set("Authorization", "Bearer "+reader)
	resp, err := r.client.Do(req)
	if err != nil {
		return // cut before the first byte
	}
	defer resp.Body.Close()
	if raw, err := io.ReadAll(resp.Body); err == nil && resp.StatusCode == http.StatusOK {
		t.Errorf("%d bytes came to their end", len(raw))
	}
}

// Replacing a quarantined payload destroys the one that came, which a hold on
// everybody keeps; replaying it as it is destroys nothing that is not in the record.
func TestINV24_AHoldKeepsAPayloadThatIsReplaced(t *testing.T) {
	r, keys := startWithKeys(t)
	r.persons(keys, nil)
	if got := r.counts("/v1/feeds/freeswitch/sbc1", writer, "evidence"); got.Quarantined != 1 {
		t.Fatalf("%+v", got)
	}
	var q data.Quarantine
	r.get("/v1/quarantine", reader, &q)
	status, raw := r.post("/v1/holds", admin, `{"everybody":true,"reason":"LITIGATION"}`)
	if status != http.StatusCreated {
		t.Fatalf("%d %s", status, raw)
	}
	var hold data.Hold
	must(t, json.Unmarshal(raw, &hold))
	in, err := json.Marshal(data.Replay{IDs: []string{q.Items[0].ID}, Payload: fmt.Appendf(nil, freeswitch, 7)})
	must(t, err)
	if p := r.refusal(policy.LegalHold, http.MethodPost, "/v1/quarantine:replay", admin, string(in)); !slices.Contains(strings.Split(p.Metadata["holds"], ","), hold.ID) {
		t.Errorf("%+v", p)
	}
	r.get("/v1/quarantine", reader, &q)
	if len(q.Items) != 1 || string(q.Items[0].Payload) != "evidence" {
		t.Fatalf("quarantine holds %d items", len(q.Items))
	}
	if status, raw := r.post("/v1/quarantine:replay", admin, `{}`); status != http.StatusOK {
		t.Errorf("as it is: %d %s", status, raw)
	}
	if status, raw := r.post("/v1/holds:release", admin, `{"id":"`+hold.ID+`"}`); status != http.StatusOK {
		t.Fatalf("%d %s", status, raw)
	}
	if status, raw := r.post("/v1/quarantine:replay", admin, string(in)); status != http.StatusOK || !strings.Contains(string(raw), `"replayed":1`) {
		t.Errorf("after the hold: %d %s", status, raw)
	}
}
