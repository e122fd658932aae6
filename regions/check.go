package regions

import (
	"regexp"
	"slices"

	"github.com/domicile-io/domicile/policy"
)

var (
	countryPattern = regexp.MustCompile(`^[A-Z]{2}$`)
	cloudPattern   = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)
	urlPattern     = regexp.MustCompile(`^https://[a-z0-9.-]{1,100}(:[0-9]{1,5})?$`)
)

// noBackup as a backup region says that there is none.
const noBackup = "none"

func (r regionYAML) region(id string, p *Problems) policy.Region {
	key := "regions." + id
	regionID, err := policy.ParseRegionID(id)
	p.require(err == nil, key, "%v", err)
	boundary, err := policy.ParseBoundary(r.Boundary)
	p.require(err == nil, key+".boundary", "%v", err)
	p.require(countryPattern.MatchString(r.Country), key+".country", "must be an ISO 3166-1 alpha-2 country code in capitals")
	p.require(cloudPattern.MatchString(r.Cloud), key+".cloud", "must match %s", cloudPattern)
	p.require(r.BackupRegion != "", key+".backup_region", "must be a region of the same boundary, or none")
	p.require(r.BaseURL == "" || urlPattern.MatchString(r.BaseURL), key+".base_url", "must match %s", urlPattern)
	out := policy.Region{ID: regionID, Boundary: boundary, Country: r.Country, Cloud: r.Cloud, BackupRegion: r.BackupRegion, BaseURL: r.BaseURL}
	err = out.Lifecycle.UnmarshalText([]byte(r.Lifecycle))
	p.require(err == nil, key+".lifecycle", "%v", err)
	return out
}

func (r regionYAML) features(id string, p *Problems) map[string]string {
	key := "regions." + id + ".features"
	for _, name := range sorted(r.Features) {
		p.require(slices.Contains(FeatureNames(), name), key+"."+name, "is not a feature; the features are %q", FeatureNames())
		p.require(slices.Contains(Stages(), r.Features[name]), key+"."+name, "must be one of %q", Stages())
	}
	for _, name := range FeatureNames() {
		_, named := r.Features[name]
		p.require(named, key+"."+name, "is missing; write none where the region does not have it")
	}
	return r.Features
}

// checkBackups: a backup that crossed a boundary would be a leak by design.
func checkBackups(regions []policy.Region, p *Problems) {
	byID := make(map[string]policy.Region, len(regions))
	for _, r := range regions {
		byID[string(r.ID)] = r
	}
	for _, r := range regions {
		if r.BackupRegion == noBackup || r.BackupRegion == "" {
			continue
		}
		b, known := byID[r.BackupRegion]
		p.require(known && b.Boundary == r.Boundary && b.ID != r.ID, "regions."+string(r.ID)+".backup_region",
			"must be another region of boundary %s, or none", r.Boundary)
	}
}
