package store

import (
	"regexp"

	"github.com/domicile-io/domicile/policy"
)

// The forms of strings that reach the replicated state. Every string there
// matches one of these or a form of package policy: no free text (invariant 4).
var (
	countryPattern       = regexp.MustCompile(`^[A-Z]{2}$`)
	cloudPattern         = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)
	backupPattern        = regexp.MustCompile(`^(none|[a-z]{2}[0-9]{1,2})$`)
	urlPattern           = regexp.MustCompile(`^(https://[a-z0-9.-]{1,100}(:[0-9]{1,5})?)?$`)
	hashPattern          = regexp.MustCompile(`^[0-9a-f]{64}$`)
	rolePattern          = regexp.MustCompile(`^[a-z_]{1,32}$`)
	featurePattern       = regexp.MustCompile(`^[a-z_]{1,40}$`)
	stagePattern         = regexp.MustCompile(`^(none|pilot|beta|ga)$`)
	limitPattern         = regexp.MustCompile(`^[A-Z][A-Z0-9_]{1,40}$`)
	certificationPattern = regexp.MustCompile(`^[A-Z][A-Z0-9-]{1,40}$`)
	keyIDPattern         = regexp.MustCompile(`^[0-9a-f]{32}$`)
	signaturePattern     = regexp.MustCompile(`^[A-Za-z0-9+/=]{88}$`)
	receiptPattern       = regexp.MustCompile(`^([A-Za-z0-9+/=]{64,128})?$`)
	reasonPattern        = regexp.MustCompile(`^[A-Z_]{1,64}$`)
	voterPattern         = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
	fieldPattern         = regexp.MustCompile(`^[A-Za-z0-9_.\[\]-]{1,128}$`)
	textPattern          = regexp.MustCompile(`^[A-Za-z0-9_.,:…-]{0,128}$`)
)

// fault is a bad field found by a check.
type fault struct{ field, message string }

func (f *fault) Error() string { return f.field + ": " + f.message }

// refusal turns a fault into INVALID_ARGUMENT.
func (f *fault) refusal() *policy.Error { return invalid(f.field, "%s", f.message) }

// within puts the fault under a parent field.
func (f *fault) within(parent string) *policy.Error {
	return invalid(parent+"."+f.field, "%s", f.message)
}

// checkStamp guards what is part of keys and expiries.
func checkStamp(s Stamp) *fault {
	switch {
	case !isActor(s.Actor):
		return &fault{"actor", "must be a PR or ND id"}
	case s.IdempotencyKey != "" && !IsUUID(s.IdempotencyKey):
		return &fault{"idempotency_key", "must be a UUID in lower case"}
	case s.IdempotencyKey != "" && !IsHex(s.RequestHash, 64):
		return &fault{"request_hash", "must be 64 hex digits"}
	case s.Now.Unix() <= 0:
		return &fault{"now", "must be stamped"}
	}
	return nil
}

// isActor is ^(PR[0-9a-f]{32}|ND[0-9a-f]{32}|bootstrap)$. These three are asked of each
// command, so they are written by hand.
func isActor(s string) bool {
	return s == "bootstrap" || len(s) == 34 && (s[:2] == "PR" || s[:2] == "ND") && IsHex(s[2:], 32)
}

// IsUUID is ^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$.
func IsUUID(s string) bool {
	return len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' &&
		IsHex(s[:8], 8) && IsHex(s[9:13], 4) && IsHex(s[14:18], 4) && IsHex(s[19:23], 4) && IsHex(s[24:], 12)
}

// IsHex is ^[0-9a-f]{n}$.
func IsHex(s string, n int) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(s) == n
}

func checkRegion(r policy.Region) *fault {
	if _, err := policy.ParseRegionID(string(r.ID)); err != nil {
		return &fault{"id", err.Error()}
	}
	if _, err := policy.ParseBoundary(string(r.Boundary)); err != nil {
		return &fault{"boundary", err.Error()}
	}
	switch {
	case !countryPattern.MatchString(r.Country):
		return &fault{"country", "must be two capitals"}
	case !cloudPattern.MatchString(r.Cloud):
		return &fault{"cloud", "must match " + cloudPattern.String()}
	case !backupPattern.MatchString(r.BackupRegion):
		return &fault{"backup_region", "must be a region or none"}
	case !urlPattern.MatchString(r.BaseURL):
		return &fault{"base_url", "must be an https URL without a path, or empty"}
	case r.Lifecycle < policy.Planned || r.Lifecycle > policy.Retired:
		return &fault{"lifecycle", "must be one of planned, active, draining, read_only, retired"}
	}
	return nil
}

func checkToken(t Token) *fault {
	switch {
	case !hashPattern.MatchString(t.SHA256):
		return &fault{"sha256", "must be 64 hex digits"}
	case !policy.ValidID(policy.KindPrincipal, t.Principal):
		return &fault{"principal", "must be PR and 32 hex digits"}
	}
	return checkScope(t.Scope)
}

func checkPrincipal(p Principal) *fault {
	if !policy.ValidID(policy.KindPrincipal, p.ID) {
		return &fault{"id", "must be PR and 32 hex digits"}
	}
	if p.ExpiresAt == nil {
		return &fault{"expires_at", "is required: a binding runs out"}
	}
	return checkScope(p.Scope)
}

// checkScope guards forms; which role is bound to what is the server's to know.
func checkScope(s Scope) *fault {
	switch {
	case !rolePattern.MatchString(s.Role):
		return &fault{"role", "must match " + rolePattern.String()}
	case s.Tenant != "" && !policy.ValidID(policy.KindTenant, string(s.Tenant)):
		return &fault{"tenant", "must be TN and 32 hex digits"}
	case s.Tenant != "" && s.Region != "":
		return &fault{"region", "and tenant exclude each other"}
	}
	if _, err := policy.ParseRegionID(string(s.Region)); s.Region != "" && err != nil {
		return &fault{"region", err.Error()}
	}
	return nil
}
