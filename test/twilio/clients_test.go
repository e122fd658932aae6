// Package twilio tests a region with Twilio's official client libraries, unmodified
// and pointed by their environment alone, against separate processes.
package twilio

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/dataplane"
	"github.com/domicile-io/domicile/internal/dev"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/internal/testcluster"
)

var bin string

func TestMain(m *testing.M) { os.Exit(testcluster.BuildAndRun(&bin, m.Run)) }

//go:embed client.mjs
var script []byte

// edges are those that the libraries' documentation pairs with the regions.
var edges = map[string]string{"ie1": "dublin", "us1": "ashburn"}

// library is one official client.
type library struct {
	name    string
	command []string
	env     []string // with %s for the proxy's URL, the authority's file
	user    func(account, key string) string
}

// libraries finds both, where `make twilio` put them.
func libraries(t *testing.T) []library {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", "..", ".build", "twilio"))
	check(t, err)
	missing := func(what string) {
		if os.Getenv("DOMICILE_NEED_TWILIO") != "" {
			t.Fatalf("%s is missing, and DOMICILE_NEED_TWILIO is set", what)
		}
		t.Skipf("SKIPPED, NOT TESTED: %s is missing; run `make twilio` (it needs node and npm)", what)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		missing("node")
	}
	for _, file := range []string{"client", "node_modules/twilio"} {
		if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
			missing(file)
		}
	}
	mjs := filepath.Join(t.TempDir(), "client.mjs")
	check(t, os.WriteFile(mjs, script, 0o600))
	return []library{
		{"Go", []string{filepath.Join(dir, "client")}, []string{"HTTPS_PROXY=%s", "SSL_CERT_FILE=%s"}, func(account, _ string) string { return account }},
		{"Node", []string{node, mjs}, []string{"HTTP_PROXY=%s", "NODE_EXTRA_CA_CERTS=%s"}, func(_, key string) string { return "SK" + strings.Split(key, "_")[2] }},
	}
}

type task struct {
	Account, User, Password string
	Number                  string
	After, Before           time.Time
	Call, Recording, Held   string
	Wrong                   bool
}

type fault struct {
	Code     int    `json:"code"`
	Status   int    `json:"status"`
	Message  string `json:"message"`
	MoreInfo string `json:"more_info"`
	Reason   string `json:"reason"`
}

type seen struct {
	Fault          *fault         `json:"fault"`
	All            []string       `json:"all"`
	Limited        []string       `json:"limited"`
	Span           []string       `json:"span"`
	To             []string       `json:"to"`
	Call           map[string]any `json:"call"`
	NotFound       *fault         `json:"not_found"`
	Absent         *fault         `json:"absent"`
	Recordings     []string       `json:"recordings"`
	CallRecordings []string       `json:"call_recordings"`
	Sound          string         `json:"sound"`
	Usage          []string       `json:"usage"`
	Daily          []string       `json:"daily"`
	Held           *fault         `json:"held"`
	AfterDeletion  []*fault       `json:"after_deletion"`
}

// run runs a client in one region, and perhaps by one edge.
func (l *library) run(t *testing.T, p *proxy, ca, region, edge string, in task) (out seen) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), l.command[0], l.command[1:]...)
	cmd.Dir = filepath.Join("..", "..", ".build", "twilio")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TWILIO_REGION=" + region, fmt.Sprintf(l.env[0], p.url), fmt.Sprintf(l.env[1], ca)}
	if edge != "" {
		cmd.Env = append(cmd.Env, "TWILIO_EDGE="+edge)
	}
	raw, err := json.Marshal(in)
	check(t, err)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(raw), &stderr
	raw, err = cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", l.name, err, stderr.String())
	}
	check(t, json.Unmarshal(raw, &out))
	return out
}

// named gives a region's node a certificate and hosts of that API's names, as its
// operator does.
func named(dir string) func(*dev.Environment, *dataplane.Config) error {
	return func(_ *dev.Environment, c *dataplane.Config) error {
		m, err := mtls.Load(c.TLS)
		if err != nil {
			return err
		}
		ca, err := mtls.OpenAuthority(filepath.Join(dir, "pki"))
		if err != nil {
			return err
		}
		names := []string{"api." + c.Region + ".twilio.com"}
		if edge := edges[c.Region]; edge != "" {
			names = append(names, "api."+edge+"."+c.Region+".twilio.com")
		}
		c.TLS, err = ca.Issue(filepath.Join(dir, "twilio-"+c.Region), m.Identity, append([]string{"127.0.0.1", "localhost"}, names...)...)
		c.Hosts = append(c.Hosts, names...)
		return err
	}
}

func TestOfficialClients(t *testing.T) {
	both := libraries(t)
	dir := t.TempDir()
	c, err := testcluster.Open(context.Background(), testcluster.Options{Dir: dir, Bin: bin, EditRegion: named(dir)})
	check(t, err)
	t.Cleanup(func() { check(t, c.Close()) })
	nodes := map[string]string{}
	for _, r := range c.Env.Regions() {
		u, err := url.Parse(c.Env.RegionURL(r))
		check(t, err)
		nodes[r] = u.Host
	}
	for _, l := range both {
		t.Run(l.name, func(t *testing.T) {
			p := startProxy(t, nodes)
			h := house(t, c, "tw-"+strings.ToLower(l.name))
			h.task.User = l.user(h.task.Account, h.key)
			ca := c.Env.CAFile()
			wrong := task{Account: h.task.Account, User: h.task.User, Password: h.task.Password, Wrong: true}
			for _, edge := range []string{"", "ashburn"} {
				f := l.run(t, p, ca, "us1", edge, wrong).Fault
				if f == nil || f.Code != 20421 || f.Status != 421 || f.Reason != "WRONG_REGION" || f.MoreInfo != c.Env.RegionURL("ie1") {
					t.Errorf("in the wrong region: %+v", f)
				}
			}
			lost := wrong
			lost.Password = lost.Password[:len(lost.Password)-4] + "0000"
			if f := l.run(t, p, ca, "ie1", "", lost).Fault; f == nil || f.Code != 20003 || f.Status != 401 {
				t.Errorf("with a wrong key: %+v", f)
			}
			h.compare(t, l.run(t, p, ca, "ie1", "dublin", h.task))
			for _, name := range []string{"api.ie1.twilio.com", "api.dublin.ie1.twilio.com", "api.us1.twilio.com", "api.ashburn.us1.twilio.com"} {
				if p.names()[name] == 0 {
					t.Errorf("%s was never asked for: %v", name, p.names())
				}
			}
		})
	}
}

// tenancy is a tenant with calls and recordings, and what a client must see of it.
type tenancy struct {
	task       task
	key        string
	calls      []data.Call // the latest first
	recordings []string    // the latest first
	ofCall     []string
	sound      [32]byte
}

const number = "+353861234567"

// house places a tenant in ie1: twelve calls of two days, three to one number, two
// recordings of which one is of a call, and a hold on another call's caller.
func house(t *testing.T, c *testcluster.Cluster, slug string) *tenancy {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	control := c.Control("cp1")
	tenant, err := control.CreateTenant(ctx, &controlv1.CreateTenantRequest{Slug: slug, HomeRegion: "ie1", BillingCountry: "IE"})
	check(t, err)
	key, err := control.CreateKey(ctx, &controlv1.CreateKeyRequest{Tenant: slug, Region: "ie1", Role: "admin"})
	check(t, err)
	if !key.Distributed {
		t.Fatal("the key was not at its region within 2 s")
	}
	r := c.Region("ie1", key.Secret)
	var lines strings.Builder
	for n := range 12 {
		to, status := fmt.Sprintf("+3531555%04d", n), "completed"
		if n%4 == 1 {
			to = number
		}
		if n == 5 {
			status = "busy"
		}
		fmt.Fprintf(&lines, `{"native_id":"n-%d","from":"+3531777%04d","to":%q,"direction":"inbound","status":%q,"start_time":"2026-03-%dT10:%02d:00Z","answer_time":"2026-03-%dT10:%02d:05Z","end_time":"2026-03-%dT10:%02d:35Z"}`+"\n",
			n, n, to, status, 14+n/8, n, 14+n/8, n, 14+n/8, n)
	}
	_, err = r.Batch(ctx, client.Upload{Body: strings.NewReader(lines.String())})
	check(t, err)
	h := &tenancy{key: key.Secret}
	check(t, r.AllCalls(ctx, client.Filter{}, func(c data.Call) error { h.calls = append(h.calls, c); return nil }))
	slices.Reverse(h.calls)
	if len(h.calls) != 12 {
		t.Fatalf("%d calls", len(h.calls))
	}
	sound := wav(300_000)
	h.sound = sha256.Sum256(sound)
	for _, up := range []struct {
		call  string
		sound []byte
	}{{h.calls[4].ID, sound}, {"", wav(50_000)}} {
		rec, err := r.UploadRecording(ctx, up.call, bytes.NewReader(up.sound), int64(len(up.sound)), nil)
		check(t, err)
		h.recordings = append([]string{rec.ID}, h.recordings...)
	}
	h.ofCall = h.recordings[1:]
	_, err = r.PutHold(ctx, data.HoldRequest{SubjectRef: data.SubjectRef{Number: h.calls[2].From.E164}, Reason: "LITIGATION"})
	check(t, err)
	h.task = task{Account: "AC" + strings.TrimPrefix(tenant.Id, "TN"), Password: strings.ReplaceAll(key.Secret, "_", "Z"), Number: number,
		After: *h.calls[8].StartTime, Before: *h.calls[5].StartTime, Call: h.calls[4].ID, Recording: h.recordings[1], Held: h.calls[2].ID}
	return h
}

func (h *tenancy) ids(pick func(n int, c data.Call) bool) (out []string) {
	for n, c := range h.calls {
		if pick(n, c) {
			out = append(out, c.ID)
		}
	}
	return out
}

// compare holds what a client saw against what the region has.
func (h *tenancy) compare(t *testing.T, got seen) {
	t.Helper()
	same := func(what string, got, want []string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	same("all, in pages of 5", got.All, h.ids(func(int, data.Call) bool { return true }))
	same("the last 7, in pages of 5", got.Limited, h.ids(func(n int, _ data.Call) bool { return n < 7 }))
	same("on or after one start and before another", got.Span, h.ids(func(n int, _ data.Call) bool { return n >= 6 && n <= 8 }))
	same("completed ones to a number", got.To, h.ids(func(_ int, c data.Call) bool { return c.To.E164 == number && c.Status == "completed" }))
	c := h.calls[4]
	for name, want := range map[string]any{"sid": c.ID, "account_sid": h.task.Account, "from": c.From.E164, "to": c.To.E164, "status": "completed", "direction": "inbound",
		"duration": "30", "price": nil, "api_version": "2010-04-01", "uri": "/2010-04-01/Accounts/" + h.task.Account + "/Calls/" + c.ID + ".json"} {
		if got.Call[name] != want {
			t.Errorf("%s is %v, want %v", name, got.Call[name], want)
		}
	}
	start, _ := got.Call["start_time"].(string)
	if !strings.Contains(start, c.StartTime.Format("Mon, 02 Jan 2006 15:04:05")) {
		t.Errorf("start_time is %s, want %s", start, c.StartTime)
	}
	refused := func(what string, f *fault, code, status int, reason string) {
		t.Helper()
		if f == nil || f.Code != code || f.Status != status || f.Reason != reason || f.Message == "" || f.MoreInfo == "" {
			t.Errorf("%s: %+v", what, f)
		}
	}
	refused("an absent call", got.NotFound, 20404, 404, "NOT_FOUND")
	refused("making a call", got.Absent, 20501, 501, "NOT_YET")
	refused("deleting a held call", got.Held, 20409, 409, "LEGAL_HOLD")
	same("recordings", got.Recordings, h.recordings)
	same("recordings of a call", got.CallRecordings, h.ofCall)
	if want := hex.EncodeToString(h.sound[:]); got.Sound != want {
		t.Errorf("the sound's hash is %s, want %s", got.Sound, want)
	}
	same("usage", got.Usage, []string{"calls 12 6", "calls-inbound 12 6", "calls-outbound 0 0"})
	same("usage by day", got.Daily, []string{"2026-03-15 4", "2026-03-14 8"})
	if len(got.AfterDeletion) != 2 {
		t.Fatalf("after deletions: %v", got.AfterDeletion)
	}
	refused("a deleted recording", got.AfterDeletion[0], 20404, 404, "NOT_FOUND")
	refused("a deleted call", got.AfterDeletion[1], 20404, 404, "NOT_FOUND")
}

// wav is a file of size bytes: 16 bit, mono, 8 kHz, noise.
func wav(size int) []byte {
	out := make([]byte, size)
	_, _ = rand.Read(out)
	copy(out, "RIFF")
	binary.LittleEndian.PutUint32(out[4:], uint32(size-8))
	copy(out[8:], "WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data")
	binary.LittleEndian.PutUint32(out[40:], uint32(size-44))
	return out
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
