package cli

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/api/control"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/internal/screen"
	"github.com/domicile-io/domicile/policy"
)

// A control plane that shows one policy and asks for a signature of another
// gets none: the hash is computed from what is shown.
func TestApproveSignsOnlyWhatItShows(t *testing.T) {
	const cluster, id = "CL000000000000000000000000000000aa", "TN000000000000000000000000000000aa"
	now := policy.DefaultPolicy(id, policy.Region{ID: "ie1", Boundary: "eu"}, "DOM-IE")
	wider := policy.DefaultPolicy(id, policy.Region{ID: "ie1", Boundary: "eu"}, "DOM-IE")
	wider.Classes[policy.CallRecord] = policy.ClassRule{Mode: policy.Restricted}
	widest := policy.DefaultPolicy(id, policy.Region{ID: "ie1", Boundary: "eu"}, "DOM-IE")
	widest.Classes[policy.Recording] = policy.ClassRule{Mode: policy.Restricted}
	p := &pin{Cluster: cluster, Tenant: id}
	row := &policy.TenantRow{ID: id, Home: "ie1", Policy: &now, Signers: &policy.Signers{Sequence: 4}}
	var said strings.Builder
	a := &app{out: screen.New(io.Discard), err: screen.New(&said)}
	review := func(shown, hashed policy.ResidencyPolicy) ([]byte, error) {
		hash, err := policy.PolicyHash(&hashed)
		if err != nil {
			t.Fatal(err)
		}
		ch := &controlv1.Change{Id: "CH1", Tenant: id, Hash: hex.EncodeToString(hash[:]), Sequence: 5, Proposed: control.RulesOf(&shown)}
		return a.reviewed(p, row, ch)
	}
	hash, err := policy.PolicyHash(&wider)
	if err != nil {
		t.Fatal(err)
	}
	got, err := review(wider, wider)
	if want := policy.PolicyStatement(cluster, id, 5, hash); err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if !strings.Contains(said.String(), "loosens  where call_record may be processed and viewed") || !strings.Contains(said.String(), "sealed → restricted") {
		t.Errorf("it said:\n%s", said.String())
	}
	for name, ch := range map[string]*controlv1.Change{"of another tenant": {Tenant: "TN000000000000000000000000000000bb", Sequence: 5}, "for an earlier number": {Tenant: id, Sequence: 4}, "for a later one": {Tenant: id, Sequence: 6}} {
		ch.Hash, ch.Proposed = hex.EncodeToString(hash[:]), control.RulesOf(&wider)
		if got, err := a.reviewed(p, row, ch); err == nil || got != nil {
			t.Errorf("a change %s: got %q", name, got)
		}
	}
	for name, shown := range map[string]policy.ResidencyPolicy{"a harmless one": now, "another one": widest} {
		if got, err := review(shown, wider); !errors.Is(err, errNotShown) || got != nil {
			t.Errorf("%s is shown and another asked for: got %q, %v", name, got, err)
		}
	}
}

// What a control plane says of one difference wipes no other one's line, whoever's
// word it is: nobody has signed what it shows as the policy in force.
func TestNoDifferenceHidesAnother(t *testing.T) {
	const up = "\x1b[1A\x1b[2K\r"
	var out strings.Builder
	a := &app{err: screen.New(&out)}
	for _, f := range []policy.FieldChange{{Kind: policy.Loosen, Field: "classes.recording.mode", From: "sealed", To: "restricted"},
		{Kind: policy.Tighten, Field: "recipients." + up + ".purpose", From: up, To: up}} {
		a.err.Line("%s", a.plainly(f))
	}
	a.sayWithdrawal(&controlv1.SigningKey{Principal: up, Entity: up, Boundary: up, Tenant: up}, []*controlv1.SigningKey{{Principal: up, Entity: up, Boundary: up}})
	if strings.ContainsAny(out.String(), "\x1b\r") {
		t.Errorf("it moves the cursor: %q", out.String())
	}
}
