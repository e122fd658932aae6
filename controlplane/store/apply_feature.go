package store

import (
	"slices"
	"strconv"
	"strings"

	"github.com/domicile-io/domicile/policy"
)

// Limits of what is said of one feature in one region.
const (
	maxFeatureLimits  = 16
	maxCertifications = 16
	// maxWithdrawal bounds how many tenants one entry looks through before a
	// feature is taken away.
	maxWithdrawal = 10_000
)

func checkFeature(f Feature) *fault {
	switch {
	case !featurePattern.MatchString(f.Name):
		return &fault{"name", "must match " + featurePattern.String()}
	case !stagePattern.MatchString(f.Stage):
		return &fault{"stage", "must match " + stagePattern.String()}
	case len(f.Limits) > maxFeatureLimits || len(f.Certifications) > maxCertifications:
		return &fault{"limits", "and certifications may hold 16 each"}
	}
	for i, l := range f.Limits {
		if !limitPattern.MatchString(l.Code) || i > 0 && f.Limits[i-1].Code >= l.Code {
			return &fault{"limits", "must have codes that match " + limitPattern.String() + ", each once"}
		}
	}
	for i, c := range f.Certifications {
		if !certificationPattern.MatchString(c) || i > 0 && f.Certifications[i-1] >= c {
			return &fault{"certifications", "must match " + certificationPattern.String() + ", each once"}
		}
	}
	return nil
}

func (e *entry) putFeature(p PutFeature) (any, error) {
	f := p.Feature
	slices.SortFunc(f.Limits, func(a, b FeatureLimit) int { return strings.Compare(a.Code, b.Code) })
	slices.Sort(f.Certifications)
	if bad := checkFeature(f); bad != nil {
		return nil, bad.refusal()
	}
	if _, err := need[Region](e.tx, bucketRegions, []byte(f.Region), "region"); err != nil {
		return nil, err
	}
	old, exists, err := load[Feature](e.tx, bucketFeatures, path(f.Region, f.Name))
	switch {
	case err != nil:
		return nil, err
	case exists:
		if err := match(p.IfMatch, old.ETag); err != nil {
			return nil, err
		}
	case p.IfMatch != "":
		return nil, policy.Errorf(policy.ETagMismatch, "the region has no such feature yet: leave If-Match out to add it")
	}
	f.ETag = old.ETag
	if exists && old.Stage == f.Stage && slices.Equal(old.Limits, f.Limits) && slices.Equal(old.Certifications, f.Certifications) {
		return old, nil
	}
	if !policy.Stage(old.Stage).Absent() && policy.Stage(f.Stage).Absent() {
		if err := e.unusedFeature(f); err != nil {
			return nil, err
		}
	}
	e.changed, f.ETag = true, etagOf(e.revision())
	e.touch(f.Region, featureRow(f.Region))
	return f, e.put(bucketFeatures, path(f.Region, f.Name), f)
}

// unusedFeature refuses to take away what tenants at home there use: their
// switches would be told 501 for records that nobody else may take.
func (e *entry) unusedFeature(f Feature) error {
	looked, using := 0, 0
	err := tenantRows(e.tx, f.Region, func(row string) error {
		id := row[len("t/"):]
		if looked++; looked > maxWithdrawal {
			return invalid("stage", "cannot be none: more than %d tenants are at home in the region, too many to look through; move them first", maxWithdrawal)
		}
		p, ok, err := load[Policy](e.tx, bucketPolicies, []byte(id))
		if err == nil && ok && p.HomeRegion == f.Region && p.Uses(policy.Feature(f.Name)) {
			using++
		}
		return err
	})
	if err != nil || using == 0 {
		return err
	}
	return invalid("stage", "cannot be none: the policies of %d tenants at home in %s have rules for what the feature brings in; take those rules out, which tightens, or move the tenants", using, f.Region).
		With("tenants", strconv.Itoa(using))
}

func (e *entry) putEntity(p PutEntity) (any, error) {
	x := p.Entity
	if _, err := policy.ParseEntityCode(x.Code); err != nil {
		return nil, invalid("code", "%v", err)
	}
	if !countryPattern.MatchString(x.Country) {
		return nil, invalid("billing_country", "must be two capitals")
	}
	if x.SuggestedRegion != "" {
		if _, known := e.regions.Region(x.SuggestedRegion); !known {
			return nil, invalid("suggested_region", "is not a region of this cluster: GET /v1/regions lists them")
		}
	}
	old, exists, err := load[Entity](e.tx, bucketEntities, []byte(x.Country))
	switch {
	case err != nil:
		return nil, err
	case exists:
		if err := match(p.IfMatch, old.ETag); err != nil {
			return nil, err
		}
	case p.IfMatch != "":
		return nil, policy.Errorf(policy.ETagMismatch, "the billing country has no entity yet: leave If-Match out to add one")
	}
	if x.ETag = old.ETag; exists && x == old {
		return old, nil
	}
	e.changed, x.ETag = true, etagOf(e.revision())
	return x, e.put(bucketEntities, []byte(x.Country), x)
}
