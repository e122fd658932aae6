package system

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/api/control"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/controlplane"
	"github.com/domicile-io/domicile/dataplane"
	"github.com/domicile-io/domicile/internal/dev"
	"github.com/domicile-io/domicile/internal/instance/instancetest"
	"github.com/domicile-io/domicile/internal/mtls"
	"github.com/domicile-io/domicile/internal/testcluster"
	"github.com/domicile-io/domicile/policy"
)

// attested is a system whose nodes can be given documents of a test cloud, and
// statements of the root.
type attested struct {
	*testing.T
	c      *testcluster.Cluster
	clouds map[string]*instancetest.Cloud // by region
	dir    string
}

func newAttested(t *testing.T) *attested {
	a := &attested{T: t, dir: t.TempDir(), clouds: map[string]*instancetest.Cloud{"ie1": instancetest.New(t, "eu-west-1"), "us1": instancetest.New(t, "us-east-1")}}
	a.c = start(t, testcluster.Options{Dir: a.dir,
		EditVoter: func(_ *dev.Environment, cfg *controlplane.Config) error {
			cfg.Attestation = a.clouds["ie1"].Config()
			for region, file := range a.clouds["us1"].Config().Certificates {
				cfg.Attestation.Certificates[region] = file
			}
			return nil
		},
		EditRegion: func(_ *dev.Environment, cfg *dataplane.Config) error {
			if cloud := a.clouds[cfg.Region]; cloud != nil {
				cfg.Attestation = cloud.Config() // and no document yet
			}
			return nil
		}})
	return a
}

// node is the identity of a region's one node.
func (a *attested) node(region string) *mtls.Material {
	a.Helper()
	cfg, err := a.c.Env.RegionConfig(region)
	check(a.T, err)
	m, err := mtls.Load(cfg.TLS)
	check(a.T, err)
	return m
}

// document puts the cloud's document of a machine into the configuration of a
// region's node, and starts it again.
func (a *attested) document(ctx context.Context, region, machine string) {
	a.Helper()
	p := a.c.Process(region)
	check(a.T, p.Stop())
	file := filepath.Join(a.dir, region+".document")
	check(a.T, os.WriteFile(file, a.clouds[region].Document(machine), 0o600))
	raw, err := os.ReadFile(p.Config())
	check(a.T, err)
	text := strings.Replace(string(raw), "instance_document: \"\"", "instance_document: "+file, 1)
	if text == string(raw) {
		a.Fatal("the configuration has no place for a document")
	}
	check(a.T, os.WriteFile(p.Config(), []byte(text), 0o600))
	check(a.T, p.Start())
	check(a.T, p.WaitReady(ctx))
}

// vouch lets the root sign where a region's node stands, until a time.
func (a *attested) vouch(ctx context.Context, region string, until time.Time) {
	a.Helper()
	raw, err := os.ReadFile(filepath.Join(a.c.Env.Dir(), "pki", "root.key"))
	check(a.T, err)
	seed, err := hex.DecodeString(strings.TrimSpace(string(raw)))
	check(a.T, err)
	m := a.node(region)
	s := policy.NodeAdmission{Node: m.Identity.Node, Region: policy.RegionID(region), Level: policy.OperatorSigned, KeySHA256: m.Keys()[0], IssuedAt: time.Now().Unix() - 1, NotAfter: until.Unix()}
	sig := policy.Sign(ed25519.NewKeyFromSeed(seed), s.Statement(m.Identity.Cluster))
	_, err = a.c.Control("cp1").AdmitNode(ctx, &controlv1.AdmitNodeRequest{Node: string(s.Node), Region: region, Admission: &controlv1.Admission{Level: "operator_signed", KeySha256: s.KeySHA256,
		IssueTime: timestamppb.New(time.Unix(s.IssuedAt, 0)), ExpireTime: timestamppb.New(time.Unix(s.NotAfter, 0)), Signature: control.SignatureOf(sig)}}, "")
	check(a.T, err)
}

// tenant places one whose policy demands a level.
func (a *attested) tenant(slug, level string, recipients ...*controlv1.Recipient) *client.Region {
	a.Helper()
	rules := &controlv1.PolicyRules{MinAttestation: level,
		Classes:    map[string]*controlv1.ClassRule{"call_record": {Mode: "sealed"}, "account_config": {Mode: "sealed"}},
		Egress:     map[string]*controlv1.EgressRule{"CUSTOMER_API": {Effect: "allow", Basis: "NONE"}},
		Recipients: &controlv1.RecipientList{DenyAll: len(recipients) == 0, List: recipients}}
	if len(recipients) > 0 {
		rules.Egress["PSEUDONYMISED_EXPORT"] = &controlv1.EgressRule{Effect: "allow", Basis: "PSEUDONYMISED-UC2"}
	}
	_, r := place(a.T, a.c, slug, "ie1", "IE", rules)
	return r
}

// takes waits until a node takes a tenant's call, and shows it.
func takes(ctx context.Context, t *testing.T, who string, r *client.Region) {
	t.Helper()
	until(t, 30*time.Second, who+" is taken", func() error {
		made, err := r.CreateCall(ctx, data.NewCall{NativeID: fmt.Sprint(time.Now().UnixNano()), From: "+353861234567", To: "+35315551234", Status: "completed"})
		if err == nil {
			_, err = r.Call(ctx, made.ID)
		}
		return err
	})
}

// tooWeak waits until a call is refused for the level, and for nothing else.
func tooWeak(t *testing.T, what string, do func() error) {
	t.Helper()
	until(t, 30*time.Second, what+" is refused", func() error {
		err := do()
		var e *policy.Error
		if errors.As(err, &e) && e.Reason == policy.PermissionDenied && e.Metadata["rules"] == "ATTESTATION_TOO_WEAK" {
			return nil
		}
		return fmt.Errorf("got %v", err)
	})
}

func sendOne(ctx context.Context, r *client.Region) func() error {
	return func() error {
		_, err := r.CreateCall(ctx, data.NewCall{NativeID: fmt.Sprint(time.Now().UnixNano()), From: "+353861234567", To: "+35315551234", Status: "completed"})
		return err
	}
}

// Of a tenant that demands a level a node gets nothing until it has it: a
// statement of the root while that lasts, a cloud's document of its machine; in
// the recipient's region, too. An evicted node hears nothing any more.
func TestNodesServeWhoseLevelTheyHave(t *testing.T) {
	a := newAttested(t)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	control := a.c.Control("cp1")
	any, vouched := a.tenant("any-place", "declared"), a.tenant("vouched-place", "operator_signed")
	strict := a.tenant("strict-place", "cloud_signed", &controlv1.Recipient{Id: exportRecipient, Region: "us1", Purpose: "analytics",
		AssessmentHash: strings.Repeat("a", 64), AssessmentExpiry: timestamppb.New(time.Now().Add(365 * 24 * time.Hour))})
	key, err := control.CreateRecipientKey(ctx, &controlv1.CreateRecipientKeyRequest{Tenant: "strict-place", Recipient: exportRecipient})
	check(t, err)
	there := a.c.Region("us1", key.Secret)
	received := func() error { _, err := there.Received(ctx, exportRecipient, ""); return err }

	// declared
	takes(ctx, t, "a tenant that demands nothing", any)
	tooWeak(t, "operator_signed at a declared node", sendOne(ctx, vouched))
	tooWeak(t, "cloud_signed at a declared node", sendOne(ctx, strict))
	tooWeak(t, "a recipient at a declared node", received)

	// operator_signed, for as long as the root said
	a.vouch(ctx, "ie1", time.Now().Add(15*time.Second))
	takes(ctx, t, "operator_signed at a node that the root vouches for", vouched)
	tooWeak(t, "cloud_signed at a node that the root vouches for", sendOne(ctx, strict))
	tooWeak(t, "operator_signed after the statement's end", sendOne(ctx, vouched))
	takes(ctx, t, "a tenant that demands nothing, after it", any)

	// cloud_signed
	const machine = "i-0123456789abcdef1"
	a.document(ctx, "ie1", machine)
	takes(ctx, t, "cloud_signed at a node with a document", strict)
	takes(ctx, t, "operator_signed at a node with a document", vouched)
	id := string(a.node("ie1").Identity.Node)
	n, err := control.Node(ctx, id)
	if check(t, err); n.GetAttestation() != "cloud_signed" || n.GetInstance() != machine || n.GetAccount() != instancetest.Account {
		t.Errorf("%v", n)
	}
	tooWeak(t, "a recipient at a node that is still declared", received)
	a.document(ctx, "us1", "i-0123456789abcdef2")
	until(t, 30*time.Second, "the recipient's node has a document", received)

	// Evicted: it hears of nothing that is decided afterwards, and a restart does not help.
	_, err = control.EvictNode(ctx, &controlv1.EvictNodeRequest{Node: id, ReasonCode: "COMPROMISED"})
	check(t, err)
	late, err := control.CreateKey(ctx, &controlv1.CreateKeyRequest{Tenant: "strict-place", Region: "ie1", Role: "admin"})
	if check(t, err); late.GetDistributed() {
		t.Error("an evicted node was told of a key")
	}
	check(t, a.c.Process("ie1").Stop())
	check(t, a.c.Process("ie1").Start())
	check(t, a.c.Process("ie1").WaitReady(ctx))
	until(t, 30*time.Second, "the evicted node is refused", func() error {
		vs, err := control.Violations(ctx, "open")
		if err != nil {
			return err
		}
		for _, v := range vs {
			if v.GetResource() == id && v.GetCause() == "EVICTED_NODE" {
				return nil
			}
		}
		return fmt.Errorf("%v", vs)
	})
	if _, err := a.c.Region("ie1", late.GetSecret()).Calls(ctx, client.Filter{}); !errors.Is(err, &policy.Error{Reason: policy.Unauthenticated}) {
		t.Errorf("a key that was issued after the eviction: %v", err)
	}
}
