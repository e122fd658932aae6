package story

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/domicile-io/domicile/api/client"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

const (
	purpose      = "analytics"
	basis        = "PSEUDONYMISED-UC2"
	assessedFor  = 365 * 24 * time.Hour
	recipientsIn = "us1"
)

// cast is the tenants of the story. Their numbers are of the ranges that are
// kept for fiction where a country has one, and invented elsewhere.
func cast() []*home {
	return []*home{
		{slug: "harbour-ie", region: "ie1", country: "IE", zone: "Europe/Dublin", recipient: "wanted",
			numbers: numbers{Caller: "+35319100001", Called: "+35319100099", Busy: "+35319100077", Local: "0191000001"}},
		{slug: "harbour-au", region: "au1", country: "AU", zone: "Australia/Sydney",
			numbers: numbers{Caller: "+61491570156", Called: "+61255501234", Busy: "+61255501277", Local: "0255501200"}},
		{slug: "harbour-us", region: "us1", country: "US", zone: "America/New_York",
			numbers: numbers{Caller: "+12025550123", Called: "+12025550199", Busy: "+12025550177", Local: "2025550101"}},
	}
}

// place creates the tenants, or finds those of an earlier telling.
func (t *teller) place(ctx context.Context) error {
	for _, h := range t.homes {
		if err := t.placeOne(ctx, h); err != nil {
			return err
		}
	}
	const nowhere = "harbour-nowhere"
	_, err := t.control.CreateTenant(ctx, &controlv1.CreateTenantRequest{Slug: nowhere, BillingCountry: "IE"})
	if err := t.refused(err, policy.RegionRequired, "a tenant without a region is refused, because no region is ever chosen for it"); err != nil {
		return err
	}
	_, err = t.control.Tenant(ctx, nowhere)
	if err := t.refused(err, policy.NotFound, "and nothing of it was kept"); err != nil {
		return err
	}
	t.command("tenants list")
	return nil
}

func (t *teller) placeOne(ctx context.Context, h *home) error {
	in := &controlv1.CreateTenantRequest{Slug: h.slug, HomeRegion: h.region, BillingCountry: h.country}
	if h.recipient != "" {
		var err error
		if h.recipient, err = policy.NewID(policy.KindRecipient, rand.Reader); err != nil {
			return err
		}
		in.Policy = exportRules(h.recipient)
	}
	tenant, err := t.control.CreateTenant(ctx, in)
	if errors.Is(err, &policy.Error{Reason: policy.AlreadyExists}) {
		tenant, err = t.control.Tenant(ctx, h.slug)
	}
	if err != nil {
		return err
	}
	h.id = tenant.GetId()
	if err := t.check(tenant.GetHomeRegion() == h.region && tenant.GetBoundary() != "",
		"%s lives in %s, inside the boundary %q, contracted by %s", h.slug, tenant.GetHomeRegion(), tenant.GetBoundary(), tenant.GetContractingEntity()); err != nil {
		return err
	}
	if err := t.giveKey(ctx, h); err != nil {
		return err
	}
	if h.recipient == "" {
		return nil
	}
	return t.giveRecipientKey(ctx, h)
}

// giveKey makes a key on this side and registers its hash; the control plane
// never sees the key itself.
func (t *teller) giveKey(ctx context.Context, h *home) error {
	s, err := client.NewSecret(h.region, rand.Reader)
	if err != nil {
		return err
	}
	k, err := t.control.CreateKey(ctx, &controlv1.CreateKeyRequest{Tenant: h.slug, Region: h.region, Role: string(policy.RoleAdmin), SecretSha256: s.SHA256, KeyId: s.KeyID})
	if err != nil {
		return err
	}
	h.key, h.client = s.Key, t.regionClient(h.region, s.Key)
	return t.check(k.GetDistributed() && k.GetSecret() == "", "%s has its key, and the control plane knows only its SHA-256", h.region)
}

func (t *teller) giveRecipientKey(ctx context.Context, h *home) error {
	list, err := t.control.Recipients(ctx, h.slug)
	if err != nil {
		return err
	}
	if err := t.check(len(list) == 1 && list[0].GetRegion() == recipientsIn,
		"%s may send pseudonyms to one recipient in %s, for %s, on the basis %s", h.slug, recipientsIn, purpose, basis); err != nil {
		return err
	}
	h.recipient = list[0].GetId() // of an earlier telling, if there was one
	s, err := client.NewSecret(recipientsIn, rand.Reader)
	if err != nil {
		return err
	}
	_, err = t.control.CreateRecipientKey(ctx, &controlv1.CreateRecipientKeyRequest{Tenant: h.slug, Recipient: h.recipient, SecretSha256: s.SHA256, KeyId: s.KeyID})
	if err != nil {
		return err
	}
	h.recipientKey = s.Key
	return nil
}

// exportRules seals every class and opens one door, for one recipient.
func exportRules(recipient string) *controlv1.PolicyRules {
	assessment := sha256.Sum256([]byte("transfer assessment of the demonstration"))
	rules := &controlv1.PolicyRules{
		Classes: map[string]*controlv1.ClassRule{}, Egress: map[string]*controlv1.EgressRule{},
		OnRegionUnavailable: policy.FailClosed.String(),
		Recipients: &controlv1.RecipientList{List: []*controlv1.Recipient{{
			Id: recipient, Region: recipientsIn, Purpose: purpose, Transforms: "standard", Threshold: 10, Colluding: 3,
			AssessmentHash: hex.EncodeToString(assessment[:]), AssessmentExpiry: timestamppb.New(time.Now().Add(assessedFor).UTC().Truncate(time.Second)),
		}}},
	}
	for _, c := range policy.DataClasses() {
		rules.Classes[c.String()] = &controlv1.ClassRule{Mode: policy.Sealed.String()}
	}
	for _, e := range []policy.EgressClass{policy.ControlStream, policy.LocalStore, policy.LocalKey, policy.Telemetry, policy.CustomerAPI, policy.TreeHead} {
		rules.Egress[e.String()] = &controlv1.EgressRule{Effect: policy.Allow.String(), Basis: "NONE"}
	}
	rules.Egress[policy.PseudonymisedExport.String()] = &controlv1.EgressRule{Effect: policy.Allow.String(), Basis: basis}
	return rules
}
