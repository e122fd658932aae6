package system

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/controlplane"
	"github.com/domicile-io/domicile/dataplane"
	"github.com/domicile-io/domicile/internal/canary"
	"github.com/domicile-io/domicile/internal/dev"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/internal/postgres"
	"github.com/domicile-io/domicile/internal/testcluster"
)

// homes are the tenants of the scan: each region has one, and each sends to the
// next region.
var homes = []struct{ region, country, slug, prefix, sendsTo string }{
	{"ie1", "IE", "zqvkestrel", "+35386", "us1"},
	{"au1", "AU", "zqvlorikeet", "+61412", "ie1"},
	{"us1", "US", "zqvbluejay", "+12025", "au1"},
}

// taps hears everything that crosses between processes of different regions and
// between regions and the control plane.
type taps struct {
	all map[string]*testcluster.Tap // "ie1 to us1", "ie1 to cp1"
}

// insert points a region's outgoing connections at taps.
func (ts *taps) insert(env *dev.Environment, c *dataplane.Config) error {
	for region, p := range c.Peers {
		there, err := env.RegionConfig(region)
		if err != nil {
			return err
		}
		if p.Address, err = ts.add(c.Region+" to "+region, p.Address, there.TLS, c.TLS); err != nil {
			return err
		}
		c.Peers[region] = p
	}
	for i, v := range env.Voters() {
		address, err := ts.add(c.Region+" to "+v, c.ControlPlane[i], env.VoterConfig(v).TLS, c.TLS)
		if err != nil {
			return err
		}
		c.ControlPlane[i] = address
	}
	return nil
}

// snapshotSoon makes voters snapshot within the scan, so that snapshots are scanned.
func snapshotSoon(_ *dev.Environment, c *controlplane.Config) error {
	c.Raft.SnapshotThreshold, c.Raft.SnapshotInterval = 4, 100*time.Millisecond
	return nil
}

func (ts *taps) add(name, target string, as, from mtls.Files) (string, error) {
	tap, err := testcluster.NewTap(target, as, from)
	if err != nil {
		return "", err
	}
	ts.all[name] = tap
	return tap.Address(), nil
}

// TestINV01ResidencyScan puts unique values into every personal field of
// tenants of each region, through every intake, lets the system work and
// export, and then looks for them everywhere: every file of every process (the
// home region's own included, where they must be sealed), every log, metric and
// report, and every byte that crossed between processes.
// With records in a region's database, every file of the database server is among them.
func TestINV01ResidencyScan(t *testing.T) {
	t.Run("local", func(t *testing.T) {
		residencyScan(t, func() (edit, *database) { return func(*dev.Environment, *dataplane.Config) error { return nil }, nil })
	})
	t.Run("sql", func(t *testing.T) {
		residencyScan(t, func() (edit, *database) {
			db := &database{server: postgres.Start(t), dir: t.TempDir()}
			return inDatabasesOf(db.dir, func() string { return db.server.Database(t) }), db
		})
	})
}

// scanOnce is one scan, with numbers of a group of their own; what it finds of more than
// seven digits is a leak at once, and the rest is given back.
func scanOnce(t *testing.T, group string, world func() (edit, *database)) []canary.Finding {
	store, db := world()
	ts := &taps{all: map[string]*testcluster.Tap{}}
	defer func() {
		for _, tap := range ts.all {
			_ = tap.Close()
		}
	}()
	c := start(t, testcluster.Options{ExportInterval: 200 * time.Millisecond, ExportWindow: 2 * time.Second, EditVoter: snapshotSoon,
		EditRegion: func(env *dev.Environment, c *dataplane.Config) error {
			return errors.Join(store(env, c), ts.insert(env, c))
		}})
	scan := &scan{t: t, c: c, group: group, taps: ts, canaries: map[string]string{}, regions: map[string]*client.Region{}, recipients: map[string]*client.Region{}}
	for i := range homes {
		scan.home(i)
	}
	for i := range homes {
		scan.fill(i)
	}
	for i := range homes {
		scan.crossed(i)
	}
	scan.misdirect()
	scanner := canary.NewScanner(scan.canaries)
	t.Logf("%d canaries, %d patterns", len(scan.canaries), scanner.Patterns())
	scan.foundAtHome(scanner)
	slugs := canary.NewScanner(map[string]string{"slug": homes[0].slug})
	until(t, 20*time.Second, "a snapshot that holds a slug", func() error { return scan.snapshotHolds(slugs) })
	sinks := scan.sinks()
	for _, s := range sinks {
		scan.judge(scanner.Bytes(s.name, s.bytes))
	}
	found, files, err := scanner.Tree(c.Env.Dir())
	check(t, err)
	scan.judge(found)
	scan.controls(scanner, sinks, files)
	if db != nil {
		db.scan(t, scan, scanner, scan.canaries["ie1 one from"])
	}
	return scan.brief
}

type scan struct {
	t          *testing.T
	c          *testcluster.Cluster
	taps       *taps
	group      string
	brief      []canary.Finding  // of seven digits
	canaries   map[string]string // label → value
	numbers    [3]int            // drawn for each home so far
	regions    map[string]*client.Region
	recipients map[string]*client.Region
	answers    []sink
}

type sink struct {
	name  string
	kind  string
	bytes []byte
}

func recipientOf(i int) string { return "RP" + strings.Repeat(fmt.Sprint(i+1), 32) }

// home makes a region's tenant with a recipient elsewhere.
func (s *scan) home(i int) {
	h := homes[i]
	recipient := recipientOf(i)
	rules := &controlv1.PolicyRules{
		Classes: map[string]*controlv1.ClassRule{"call_record": {Mode: "sealed"}, "account_config": {Mode: "sealed"}, "derived": {Mode: "sealed"}, "billing_usage": {Mode: "sealed"}},
		Egress: map[string]*controlv1.EgressRule{"PSEUDONYMISED_EXPORT": {Effect: "allow", Basis: "PSEUDONYMISED-UC2"},
			"CUSTOMER_API": {Effect: "allow", Basis: "NONE"}},
		Recipients: &controlv1.RecipientList{List: []*controlv1.Recipient{{Id: recipient, Region: h.sendsTo, Purpose: "analytics",
			AssessmentHash: strings.Repeat("a", 64), AssessmentExpiry: timestamppb.New(time.Now().Add(365 * 24 * time.Hour))}}},
	}
	_, region := place(s.t, s.c, h.slug, h.region, h.country, rules)
	s.regions[h.region] = region
	key, err := s.c.Control("cp1").CreateRecipientKey(s.ctx(), &controlv1.CreateRecipientKeyRequest{Tenant: h.slug, Recipient: recipient})
	check(s.t, err)
	s.recipients[h.region] = s.c.Region(h.sendsTo, key.Secret)
}

func (s *scan) ctx() context.Context { return s.t.Context() }

// value makes a canary and remembers it.
func (s *scan) value(i int, field, form string) string {
	label := homes[i].region + " " + field
	v := fmt.Sprintf(form, len(s.canaries)+100)
	s.canaries[label] = v
	return v
}

// number makes a telephone number. Homes have the same ones behind their prefix: the
// fewer groups of seven digits are searched for, the seldomer a pseudonym, a hash
// or a time of day holds one of them by chance.
func (s *scan) number(i int, field string) string {
	s.numbers[i]++
	v := fmt.Sprintf("%s%s%04d", homes[i].prefix, s.group, s.numbers[i]+100)
	s.canaries[homes[i].region+" "+field] = v
	return v
}
func (s *scan) name(i int, field string) string {
	return s.value(i, field, "Zqvxwy Ó Braonáin %d Kjwzq")
}
func (s *scan) word(i int, field string) string { return s.value(i, field, "zqvw-%d-kjxqz") }

// fill sends a record with canaries in every personal field through every intake.
func (s *scan) fill(i int) {
	r := s.regions[homes[i].region]
	feed := func(source, contentType, path, body string) {
		s.t.Helper()
		counts, err := r.Feed(s.ctx(), source, "canary", client.Upload{Body: strings.NewReader(body), ContentType: contentType, Path: path})
		check(s.t, err)
		if counts.Accepted == 0 || counts.Quarantined > 0 {
			s.t.Fatalf("%s: %+v", source, counts)
		}
	}
	feed("freeswitch", "application/json", "", s.freeswitch(i))
	feed("kamailio", "application/json", "/acc", fmt.Sprintf(`{"time":1773480413,"method":"INVITE","from_tag":"%s","to_tag":"%s","callid":"%s","sip_code":"200","sip_reason":"OK","from_user":"%s","to_user":"%s","src_ip":"%s"}`,
		s.word(i, "kamailio from tag"), s.word(i, "kamailio to tag"), s.word(i, "kamailio call id"), s.number(i, "kamailio from"), s.number(i, "kamailio to"), s.word(i, "kamailio address")))
	feed("kamailio", "application/json", "/cdr", fmt.Sprintf(`{"start_time":"1773480413.116","end_time":"1773480414.628","duration":"1.512","ci":"%s","from":"%s","to":"%s"}`,
		s.word(i, "kamailio cdr id"), s.number(i, "kamailio cdr from"), s.number(i, "kamailio cdr to")))
	feed("asterisk", "text/csv", "", fmt.Sprintf(`"","%s","%s","from-trunk","""%s"" <1>","PJSIP/%s","PJSIP/1004-00000022","Dial","PJSIP/%s","2026-03-14 19:02:11","2026-03-14 19:02:19","2026-03-14 19:08:45",394,386,"ANSWERED","DOCUMENTATION","1773475331.%d","%s"`+"\n",
		s.number(i, "asterisk src"), s.number(i, "asterisk dst"), s.name(i, "asterisk clid"), s.word(i, "asterisk channel"), s.number(i, "asterisk lastdata"), i, s.word(i, "asterisk userfield")))
	feed("asterisk", "application/json", "", fmt.Sprintf(`{"clid":"\"%s\" <1000>","src":"%s","dst":"%s","start":"2026-03-14T09:00:00+0000","answer":"2026-03-14T09:00:07+0000","end":"2026-03-14T09:03:00+0000","duration":180,"billsec":173,"disposition":"ANSWERED","uniqueid":"%s"}`+"\n",
		s.name(i, "asterisk json clid"), s.number(i, "asterisk json src"), s.number(i, "asterisk json dst"), s.word(i, "asterisk json id")))
	feed("twilio", "application/x-www-form-urlencoded", "", fmt.Sprintf("CallSid=CA%032x&From=%s&To=%s&CallerName=%s&CallStatus=completed&Direction=inbound&CallDuration=42&Timestamp=Sat%%2C+14+Mar+2026+09%%3A31%%3A40+%%2B0000&SequenceNumber=3",
		i+1, percent(s.number(i, "twilio from")), percent(s.number(i, "twilio to")), percent(s.name(i, "twilio name"))))
	_, err := r.CreateCall(s.ctx(), s.native(i, "one"))
	check(s.t, err)
	s.batch(i, r)
	s.quarantine(i, r)
}

func percent(v string) string { return strings.NewReplacer("+", "%2B", " ", "+").Replace(v) }

func (s *scan) freeswitch(i int) string {
	from, to := s.number(i, "freeswitch from"), s.number(i, "freeswitch to")
	variables := map[string]string{"uuid": s.word(i, "freeswitch uuid"), "direction": "inbound", "sip_from_uri": percent(s.word(i, "freeswitch uri")),
		"sip_call_id": s.word(i, "freeswitch call id"), "start_uepoch": "1773480413120391", "answer_uepoch": "1773480421004112",
		"end_uepoch": "1773480700431245", "duration": "287", "billsec": "279", "hangup_cause": "NORMAL_CLEARING",
		"record_file": s.word(i, "freeswitch recording"), "sip_network_ip": s.word(i, "freeswitch address")}
	profile := map[string]any{"username": from, "caller_id_name": s.name(i, "freeswitch name"), "caller_id_number": from, "ani": s.number(i, "freeswitch ani"),
		"destination_number": to, "uuid": variables["uuid"], "chan_name": s.word(i, "freeswitch channel")}
	body, err := json.Marshal(map[string]any{"core-uuid": "7b2f3f1c", "switchname": s.word(i, "freeswitch switch"),
		"channel_data": map[string]string{"direction": "inbound"}, "variables": variables,
		"callflow": map[string]any{"profile_index": "1", "caller_profile": profile,
			"times": map[string]string{"created_time": "1773480413120391", "answered_time": "1773480421004112", "hangup_time": "1773480700431245"}}})
	check(s.t, err)
	return string(body)
}

func (s *scan) native(i int, which string) data.NewCall {
	at := time.Date(2026, 3, 14, 9, 0, 0, 0, time.UTC)
	return data.NewCall{NativeID: s.word(i, which+" id"), Leg: s.word(i, which+" leg"), From: s.number(i, which+" from"), To: s.number(i, which+" to"),
		CallerName: s.name(i, which+" name"), Direction: "inbound", Status: "completed", StartTime: &at,
		STIR:          &data.STIR{Attest: "A", OrigID: s.word(i, which+" origid")},
		RecordingRefs: []string{s.word(i, which+" recording")}, ConsentRef: s.word(i, which+" consent")}
}

// batch sends enough callers of one class to pass the singling-out gate, so
// that rows of calls with canaries really cross.
func (s *scan) batch(i int, r *client.Region) {
	var plain bytes.Buffer
	z := gzip.NewWriter(&plain)
	enc := json.NewEncoder(z)
	for n := range 20 {
		check(s.t, enc.Encode(s.native(i, fmt.Sprintf("batch %d", n))))
	}
	check(s.t, z.Close())
	counts, err := r.Batch(s.ctx(), client.Upload{Body: &plain, Encoding: "gzip"})
	check(s.t, err)
	if counts.Accepted != 20 {
		s.t.Fatalf("batch: %+v", counts)
	}
}

func (s *scan) quarantine(i int, r *client.Region) {
	body := `{"variables":{"caller":"` + s.number(i, "quarantined number") + `","name":"` + s.name(i, "quarantined name") + `"`
	counts, err := r.Feed(s.ctx(), "freeswitch", "canary", client.Upload{Body: strings.NewReader(body), ContentType: "application/json"})
	check(s.t, err)
	if counts.Quarantined != 1 {
		s.t.Fatalf("garbage: %+v", counts)
	}
}

// crossed waits until pseudonymised rows have reached the recipient, and keeps them.
func (s *scan) crossed(i int) {
	until(s.t, 60*time.Second, "rows of "+homes[i].region+" at their recipient", func() error {
		got, err := s.recipients[homes[i].region].Received(s.ctx(), recipientOf(i), "")
		if err != nil {
			return err
		}
		if len(got.Rows) < 20 {
			return fmt.Errorf("%d rows so far", len(got.Rows))
		}
		raw, err := json.Marshal(got)
		s.answers = append(s.answers, sink{"rows received from " + homes[i].region, "received", raw})
		return err
	})
}

// misdirect sends every region a record of every other region's tenant.
func (s *scan) misdirect() {
	for i, h := range homes {
		for _, other := range homes {
			if other.region == h.region {
				continue
			}
			stranger := s.c.Region(other.region, s.regions[h.region].Key)
			_, err := stranger.CreateCall(s.ctx(), s.native(i, "misdirected to "+other.region))
			if err == nil {
				s.t.Fatalf("%s took a record of %s", other.region, h.region)
			}
			s.answers = append(s.answers, sink{"refusal by " + other.region, "refusal", fmt.Appendf(nil, "%v %+v", err, err)})
		}
	}
}

// foundAtHome is the positive control of the whole: the home region gives its
// tenant every canary field back that the canonical record has.
func (s *scan) foundAtHome(scanner *canary.Scanner) {
	for i, h := range homes {
		var all bytes.Buffer
		check(s.t, s.regions[h.region].AllCalls(s.ctx(), client.Filter{}, func(call data.Call) error { return json.NewEncoder(&all).Encode(call) }))
		seen := map[string]bool{}
		for _, f := range scanner.Bytes("home", all.Bytes()) {
			seen[f.Canary] = true
		}
		for _, field := range []string{"freeswitch from", "freeswitch name", "kamailio from", "asterisk src", "asterisk json dst", "twilio from", "twilio name", "one name", "batch 19 from"} {
			if !seen[homes[i].region+" "+field] {
				s.t.Errorf("the home region does not give back %s of %s: the scan proves nothing about it", field, h.region)
			}
		}
	}
}

// sinks collects what is not a file: metrics, reports, refusals, the wire.
func (s *scan) sinks() (out []sink) {
	out = append(out, s.answers...)
	for _, name := range append(s.c.Env.Voters(), s.c.Env.Regions()...) {
		out = append(out, sink{"metrics of " + name, "metrics", s.fetch(s.c.Env.OpsURL(name)+"/metrics", "")})
	}
	for _, h := range homes {
		ledger, err := s.regions[h.region].Egress(s.ctx())
		check(s.t, err)
		transfers, err := s.regions[h.region].Transfers(s.ctx(), "")
		check(s.t, err)
		raw, err := json.Marshal([]any{ledger, transfers})
		check(s.t, err)
		out = append(out, sink{"ledger of " + h.region, "ledger", raw})
	}
	for _, path := range []string{"/v1/tenants", "/v1/nodes", "/v1/violations", "/v1/changes", "/v1/status"} {
		out = append(out, sink{"control plane's " + path, "control", s.fetch(s.c.Env.ControlURL()+path, s.c.Env.Token())})
	}
	for name, tap := range s.taps.all {
		out = append(out, sink{"wire from " + name, "wire", tap.Heard()})
	}
	return out
}

func (s *scan) fetch(url, token string) []byte {
	s.t.Helper()
	q, err := http.NewRequestWithContext(s.ctx(), http.MethodGet, url, nil)
	check(s.t, err)
	if token != "" {
		q.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := s.c.HTTP().Do(q)
	check(s.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	check(s.t, err)
	if resp.StatusCode != http.StatusOK || len(body) == 0 {
		s.t.Fatalf("%s: %s", url, resp.Status)
	}
	return body
}
