package policy

import (
	"fmt"
	"time"

	"pgregory.net/rapid"
)

// The worlds that the properties draw from are small on purpose: few ids, so
// that requests and rules meet often, and every enum one value past its list.

var (
	testNow     = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	testTenants = []TenantID{tenantN(1), tenantN(2)}
	testRegions = []RegionID{"ie1", "de1", "us1", "au1", "zz9"} // zz9 is in no topology
	testAges    = []time.Duration{AgeUnknown, 0, 59 * time.Second, FreshFor, time.Hour, ReadFor - 1, ReadFor, 48 * time.Hour}
)

func tenantN(n int) TenantID       { return TenantID(fmt.Sprintf("TN%032x", n)) }
func recipientN(n int) RecipientID { return RecipientID(fmt.Sprintf("RP%032x", n)) }

func drawRegions(t *rapid.T) []Region {
	stage := rapid.Map(rapid.IntRange(1, 5), func(i int) Lifecycle { return Lifecycle(i) })
	mostly := func(name string) Lifecycle {
		return rapid.OneOf(rapid.Just(Active), rapid.Just(Active), stage).Draw(t, name)
	}
	return []Region{
		{ID: "ie1", Boundary: "eu", Country: "IE", Cloud: "aws-eu-west-1", BackupRegion: "de1", Lifecycle: mostly("ie1")},
		{ID: "de1", Boundary: "eu", Country: "DE", Cloud: "aws-eu-central-1", BackupRegion: "none", Lifecycle: mostly("de1")},
		{ID: "us1", Boundary: "us", Country: "US", Cloud: "aws-us-east-1", BackupRegion: "none", Lifecycle: mostly("us1")},
		{ID: "au1", Boundary: "au", Country: "AU", Cloud: "aws-ap-southeast-2", BackupRegion: "none", Lifecycle: mostly("au1")},
	}
}

func drawPolicy(t *rapid.T) *ResidencyPolicy {
	p := &ResidencyPolicy{
		Tenant: testTenants[0], HomeRegion: rapid.SampledFrom([]RegionID{"ie1", "ie1", "de1", "us1", "zz9"}).Draw(t, "home"),
		HomeEpoch: rapid.Uint64Range(1, 2).Draw(t, "epoch"), Revision: rapid.Uint64Range(1, 9).Draw(t, "revision"),
		ContractingEntity: rapid.SampledFrom([]string{"DOM-IE", "DOM-US"}).Draw(t, "entity"),
		OnUnavailable:     rapid.SampledFrom([]Unavailable{FailClosed, FailoverInBoundary}).Draw(t, "unavailable"),
		MaxStaleness:      rapid.SampledFrom([]Seconds{0, 30, 60, 86400}).Draw(t, "staleness"),
		MinAttestation:    Attestation(rapid.IntRange(0, 3).Draw(t, "attestation")),
		AllowRegionChange: rapid.Bool().Draw(t, "region change"),
		Boundary:          rapid.SampledFrom([]Boundary{"eu", "eu", "us", ""}).Draw(t, "boundary"),
		Classes:           map[DataClass]ClassRule{}, Egress: map[EgressClass]EgressRule{}, Consent: map[DataClass][]string{},
		Access: AccessRule{Approval: "required", MaxDuration: 3600, ScopeWidth: "record", ApproverBoundary: "eu"},
	}
	for _, c := range []DataClass{0, CallRecord, Recording, Derived, numDataClasses} {
		if rapid.IntRange(0, 3).Draw(t, "has class") > 0 {
			p.Classes[c] = ClassRule{Mode: Mode(rapid.IntRange(0, 4).Draw(t, "mode")), Retention: rapid.SampledFrom([]Seconds{0, 86400}).Draw(t, "retention")}
		}
		if rapid.IntRange(0, 5).Draw(t, "has consent") == 0 {
			p.Consent[c] = rapid.SampledFrom([][]string{nil, {"analytics"}, {"analytics", "training"}}).Draw(t, "purposes")
		}
	}
	for _, c := range []EgressClass{0, PseudonymisedExport, Aggregate, Telemetry, numEgressClasses} {
		if rapid.IntRange(0, 3).Draw(t, "has egress") > 0 {
			p.Egress[c] = EgressRule{Effect: Effect(rapid.IntRange(0, 4).Draw(t, "effect")), PerDay: rapid.Uint64Range(0, 3).Draw(t, "per day"),
				Basis: rapid.SampledFrom([]string{"", "SCC", "SCC", "NONE", "BCR", "SHORT", "PAST", "GONE", "NOBODYS"}).Draw(t, "basis")}
		}
	}
	p.Recipients.DenyAll = rapid.IntRange(0, 4).Draw(t, "deny all") == 0
	for i := range rapid.IntRange(0, 3).Draw(t, "recipients") {
		p.Recipients.List = append(p.Recipients.List, Recipient{
			ID: recipientN(rapid.IntRange(i, 2).Draw(t, "recipient")), Region: rapid.SampledFrom(testRegions).Draw(t, "recipient region"),
			Purpose: rapid.SampledFrom([]string{"fraud", "quality"}).Draw(t, "purpose"), Transforms: "standard",
			Threshold: rapid.IntRange(10, 12).Draw(t, "k"), Colluding: rapid.IntRange(1, 3).Draw(t, "m"),
			AssessmentExpiry: testNow.Add(time.Duration(rapid.IntRange(-1, 1).Draw(t, "expiry")) * time.Hour),
		})
	}
	return p
}

func drawState(t *rapid.T) TenantState {
	return rapid.SampledFrom([]TenantState{TenantActive, TenantActive, TenantActive, TenantSuspended, TenantPurging, TenantPurged, TenantDeleted, ""}).Draw(t, "state")
}

func drawRequest(t *rapid.T) Request {
	seldom := func(name string) bool { return rapid.IntRange(0, 5).Draw(t, name) == 0 }
	return Request{
		Tenant: rapid.SampledFrom([]TenantID{testTenants[0], testTenants[0], testTenants[0], testTenants[1]}).Draw(t, "tenant"),
		Op:     Operation(rapid.SampledFrom([]int{0, 1, 2, 3, 4, 5, 5, 5, 6}).Draw(t, "op")),
		Class:  DataClass(rapid.SampledFrom([]int{0, 1, 1, 1, 2, 8, 13}).Draw(t, "class")),
		Region: rapid.SampledFrom(testRegions).Draw(t, "region"),
		Egress: rapid.SampledFrom([]EgressClass{PseudonymisedExport, PseudonymisedExport, Aggregate, Telemetry, 0, numEgressClasses}).Draw(t, "egress"),

		Recipient: recipientN(rapid.IntRange(0, 3).Draw(t, "to")),
		Purpose:   rapid.SampledFrom([]string{"fraud", "quality", ""}).Draw(t, "for"),

		Now:         rapid.SampledFrom([]time.Time{testNow, testNow, testNow, {}}).Draw(t, "now"),
		BundleAge:   rapid.SampledFrom(testAges).Draw(t, "age"),
		Attestation: Attestation(rapid.IntRange(0, 3).Draw(t, "attested")),

		ClockSuspect: seldom("clock"), AuditDown: seldom("audit"), KeysDown: seldom("keys"), KeysLost: seldom("lost"), DiskFull: seldom("disk"),
		FieldsUnknown: seldom("fields"), SentToday: rapid.Uint64Range(0, 3).Draw(t, "sent"),
	}
}

// drawAllowable draws a request that p is likely to allow, so that a property
// about what is allowed meets something.
func drawAllowable(t *rapid.T, p *ResidencyPolicy) Request {
	q := Request{Tenant: p.Tenant, Region: p.HomeRegion, Now: testNow, Egress: PseudonymisedExport,
		Op:          rapid.SampledFrom([]Operation{Store, Process, View, Erase, Export, Export, Export}).Draw(t, "op"),
		Class:       rapid.SampledFrom([]DataClass{CallRecord, Derived, Recording}).Draw(t, "class"),
		Attestation: Attestation(rapid.IntRange(1, 3).Draw(t, "attested")),
		BundleAge:   rapid.SampledFrom(testAges[1:4]).Draw(t, "age"),
		SentToday:   rapid.Uint64Range(0, 2).Draw(t, "sent"),
	}
	if q.Op != Export && rapid.Bool().Draw(t, "elsewhere") {
		q.Region = rapid.SampledFrom(testRegions).Draw(t, "region")
	}
	if len(p.Recipients.List) > 0 {
		to := rapid.SampledFrom(p.Recipients.List).Draw(t, "recipient")
		q.Recipient, q.Purpose = to.ID, to.Purpose
	}
	return q
}
