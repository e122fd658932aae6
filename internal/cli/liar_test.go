package cli_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/api/control"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// liar stands where a control plane does that somebody has taken over: it passes on what
// the real one answers and changes what it likes. It takes no write, and leaves a file
// when one came: then something was signed and sent.
type liar struct {
	ts       *testscript.TestScript
	hc       *http.Client
	honest   string // URL
	lie, arg string
	sent     string // file that a write leaves
}

// lies KIND [FILE]: let $DOMICILE_CONTROL_URL be a control plane that lies; without
// arguments, the honest one again.
func lies(ts *testscript.TestScript, _ bool, args []string) {
	if ts.Getenv("HONEST_URL") == "" {
		ts.Setenv("HONEST_URL", ts.Getenv("DOMICILE_CONTROL_URL"))
	}
	if len(args) == 0 {
		ts.Setenv("DOMICILE_CONTROL_URL", ts.Getenv("HONEST_URL"))
		return
	}
	hc, err := client.NewHTTP(client.HTTPOptions{CAFile: ts.Getenv("DOMICILE_CA")})
	ts.Check(err)
	l := &liar{ts: ts, hc: hc, honest: ts.Getenv("HONEST_URL"), lie: args[0], sent: ts.MkAbs("sent")}
	if len(args) > 1 {
		l.arg = ts.MkAbs(args[1])
	}
	s := httptest.NewServer(l)
	ts.Defer(s.Close)
	ts.Setenv("DOMICILE_CONTROL_URL", s.URL)
}

func (l *liar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		_ = os.WriteFile(l.sent, []byte(r.Method+" "+r.URL.Path), 0o600)
		http.Error(w, "a signature reached the liar", http.StatusBadRequest)
		return
	}
	req, err := http.NewRequestWithContext(r.Context(), r.Method, l.honest+r.URL.RequestURI(), nil)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	req.Header.Set("Authorization", r.Header.Get("Authorization"))
	resp, err := l.hc.Do(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode == http.StatusOK {
		body, err = l.twist(r.URL.Path, body)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, bytes.NewReader(body))
}

// twist is an answer as the liar gives it.
func (l *liar) twist(path string, body []byte) ([]byte, error) {
	switch {
	case strings.HasSuffix(path, "/signed_policy"):
		return rewritten(body, &controlv1.SignedPolicy{}, l.twistProof)
	case strings.HasPrefix(path, "/v1/changes/") && l.lie == "number":
		return rewritten(body, &controlv1.Change{}, func(c *controlv1.Change) error { c.Sequence++; return nil })
	case strings.HasSuffix(path, "/signing_keys") && l.lie == "cluster":
		return rewritten(body, &controlv1.ListSigningKeysResponse{}, func(k *controlv1.ListSigningKeysResponse) error { k.Cluster = otherCluster; return nil })
	}
	return body, nil
}

const otherCluster = "CL000000000000000000000000000000ee"

func (l *liar) twistProof(e *controlv1.SignedPolicy) error {
	switch l.lie {
	case "policy": // what is proposed is there already: no difference to read
		e.Policy.Rules.Egress[policy.CustomerWebhook.String()] = &controlv1.EgressRule{Effect: "allow", Basis: "NONE"}
	case "older": // what the tenant signed once
		raw, err := os.ReadFile(l.arg)
		if err != nil {
			return err
		}
		proto.Reset(e)
		return protojson.Unmarshal(raw, e)
	case "cluster":
		e.Cluster = otherCluster
	case "tenant":
		e.Tenant = "TN000000000000000000000000000000ee"
	case "more": // than a signature covers
		e.Policy.Etag = "told"
		for _, k := range e.Keys {
			k.Tenant = "told"
		}
	case "unsigned":
		e.Keys, e.Sequence, e.Withdrawals, e.ApiKeys, e.Policy.Signatures = nil, 0, nil, nil, nil
	case "key":
		return l.forge(e)
	}
	return nil
}

// forge enrols a key of the liar's own in place of the tenant's, and signs with it.
func (l *liar) forge(e *controlv1.SignedPolicy) error {
	row, err := control.SignedRowFrom(e)
	if err != nil {
		return err
	}
	public, secret, err := ed25519.GenerateKey(nil)
	if err != nil {
		return err
	}
	k, err := policy.NewSigningKey(policy.TenantKey, hex.EncodeToString(public))
	if err != nil {
		return err
	}
	k.Certificate = policy.Sign(secret, k.Statement(e.GetCluster(), row.ID))
	row.Signers.Tenant, row.Signers.Keys = []policy.SigningKey{k}, nil
	hash, err := policy.PolicyHash(row.Policy)
	if err != nil {
		return err
	}
	row.Policy.Signatures = []policy.Signature{policy.Sign(secret, policy.PolicyStatement(e.GetCluster(), row.ID, row.Signers.Sequence, hash))}
	forged := control.SignedPolicyOf(e.GetCluster(), row.Policy, "1", row.Signers)
	proto.Reset(e)
	proto.Merge(e, forged)
	return nil
}

// rewritten is an answer with one thing changed.
func rewritten[M proto.Message](body []byte, m M, change func(M) error) ([]byte, error) {
	if err := protojson.Unmarshal(body, m); err != nil {
		return nil, err
	}
	if err := change(m); err != nil {
		return nil, err
	}
	return protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
}
