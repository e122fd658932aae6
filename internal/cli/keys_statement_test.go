package cli

import (
	"context"
	"crypto/ed25519"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/screen"
	"github.com/domicile-io/domicile/policy"
)

// A number rises, goes with the time, and is never taken from a control plane that
// would have the tenant use up all that there are.
func TestNumbersOfSignedKeys(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	ms := uint64(now.UnixMilli())
	for name, c := range map[string]struct{ newest, want uint64 }{
		"the first":               {0, ms},
		"after an older one":      {ms - 5, ms},
		"after one of this time":  {ms, ms + 1},
		"of a clock that is fast": {ms + 60_000, ms + 60_001},
		"a year ahead":            {ms + uint64(farAhead.Milliseconds()), 0},
		"the last that there is":  {1<<53 - 2, 0},
		"beyond":                  {1<<64 - 1, 0},
	} {
		got, err := nextKeyNumber(&controlv1.ListSigningKeysResponse{NewestApiKey: c.newest}, now)
		if got != c.want || (err != nil) != (c.want == 0) {
			t.Errorf("%s: %d, %v; want %d", name, got, err, c.want)
		}
	}
}

// A key that is issued and signed in one command is the one that was asked for. A control
// plane that makes another of it, so that somebody has more than was meant, gets nothing.
func TestCreatedKeysAreSignedAsTheyWereAskedFor(t *testing.T) {
	const tenant = "TN000000000000000000000000000000aa"
	who := &signatory{key: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), pin: &pin{Cluster: wordsCluster, Tenant: tenant}, row: &policy.TenantRow{ID: tenant, Home: "ie1"}}
	for name, forge := range map[string]func(*controlv1.Key){
		"":                 func(*controlv1.Key) {},
		"a wider role":     func(k *controlv1.Key) { k.Role = "admin" },
		"a secret":         func(k *controlv1.Key) { k.Terms.SecretSha256 = strings.Repeat("ab", 32) },
		"another key":      func(k *controlv1.Key) { k.Id = "SK000000000000000000000000000000aa" },
		"another tenant":   func(k *controlv1.Key) { k.Tenant = "TN000000000000000000000000000000bb" },
		"another region":   func(k *controlv1.Key) { k.Region = "us1" },
		"a recipient":      func(k *controlv1.Key) { k.Recipient = "RP000000000000000000000000000000aa" },
		"an end in future": func(k *controlv1.Key) { k.Terms.ExpireTime = timestamppb.New(time.Unix(1<<33, 0)) },
	} {
		var signed bool
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var m proto.Message
			switch {
			case strings.HasSuffix(r.URL.Path, ":sign"):
				signed, m = true, &controlv1.Key{Signing: "signed"}
			case strings.HasSuffix(r.URL.Path, "/signing_keys"):
				m = &controlv1.ListSigningKeysResponse{Sequence: 4, SignsApiKeys: true}
			case strings.HasSuffix(r.URL.Path, "/keys"):
				raw, err := io.ReadAll(r.Body)
				req := &controlv1.CreateKeyRequest{}
				if err != nil || protojson.Unmarshal(raw, req) != nil {
					t.Errorf("%s: %v", raw, err)
				}
				k := &controlv1.Key{Id: req.GetKeyId(), Tenant: tenant, Region: "ie1", Role: req.GetRole(), Signing: "refused",
					Terms: &controlv1.KeyTerms{SecretSha256: req.GetSecretSha256(), HomeEpoch: 3, ClusterEpoch: 2}}
				forge(k)
				m = k
			default:
				m = &controlv1.Tenant{Id: tenant, HomeRegion: "ie1"}
			}
			raw, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
			if err != nil {
				t.Error(err)
			}
			_, _ = w.Write(raw)
		}))
		_, k, err := (&app{}).createKey(context.Background(), &client.Control{BaseURL: s.URL}, "clinic", "reader", who)
		s.Close()
		if signed != (name == "") || (err == nil) != signed || signed && k.GetSigning() != "signed" {
			t.Errorf("%s: signed %t, %v", name, signed, err)
		}
		if err != nil && !strings.Contains(err.Error(), "domicile keys delete clinic SK") {
			t.Errorf("%s: it does not say what to do with the key: %v", name, err)
		}
	}
}

// What a control plane says of one key hides no other from whoever is to sign them.
func TestNoKeyHidesAnother(t *testing.T) {
	const up = "\x1b[1A\x1b[2K\r"
	var out strings.Builder
	a := &app{err: screen.New(&out)}
	a.sayKeys([]*controlv1.Key{{Id: "SK1", Tenant: "TN1", Region: "ie1", Role: "admin"}, {Id: up + "SK2", Tenant: up, Region: up, Role: up}, {Id: "SK3", Role: "recipient", Recipient: up}})
	if strings.ContainsAny(out.String(), "\x1b\r") || strings.Count(out.String(), "\n") != 4 {
		t.Errorf("it moves the cursor: %q", out.String())
	}
}
