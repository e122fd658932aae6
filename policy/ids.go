package policy

import (
	"encoding/hex"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// RegionID names a region: two lower-case letters and one or two digits, e.g. "ie1".
type RegionID string

// Boundary names a set of regions under one jurisdiction, e.g. "eu".
type Boundary string

// TenantID is "TN" and 32 hex digits, random and never time-ordered.
type TenantID string

// Slug is the operator's name for a tenant.
type Slug string

// RecipientID is "RP" and 32 hex digits.
type RecipientID string

// KeyID is "SK" and 32 hex digits; the hex digits stand in the key itself.
type KeyID string

// NodeID is "ND" and 32 hex digits.
type NodeID string

// IDKind is the two capitals an id begins with.
type IDKind string

// The kinds of ids, as listed in the contract's §1.
const (
	KindTenant    IDKind = "TN"
	KindCall      IDKind = "CA"
	KindRecording IDKind = "RE"
	KindMove      IDKind = "MV"
	KindApproval  IDKind = "AP"
	KindChange    IDKind = "CH"
	KindTransfer  IDKind = "EX"
	KindReceipt   IDKind = "RC"
	KindViolation IDKind = "VI"
	KindNode      IDKind = "ND"
	KindKey       IDKind = "SK"
	KindPrincipal IDKind = "PR"
	KindRecipient IDKind = "RP"
	KindSubject   IDKind = "SU"
	KindCluster   IDKind = "CL"
	KindOperation IDKind = "OP"
)

var (
	regionPattern   = regexp.MustCompile(`^[a-z]{2}[0-9]{1,2}$`)
	boundaryPattern = newPattern(`^[a-z]{2,8}$`, lowers, lowers, 2, 8)
	slugPattern     = regexp.MustCompile(`^[a-z][a-z0-9-]{1,31}$`)
	digitRun        = regexp.MustCompile(`[0-9]{5,}`)
)

// NewID makes a random id of the given kind from 16 bytes of r. Ids are never
// derived from time, because a timestamp is a quasi-identifier.
func NewID(kind IDKind, r io.Reader) (string, error) {
	var raw [16]byte
	if _, err := io.ReadFull(r, raw[:]); err != nil {
		return "", fmt.Errorf("draw a %s id: %w", kind, err)
	}
	return string(kind) + hex.EncodeToString(raw[:]), nil
}

// ValidID reports whether s is an id of the given kind: two capitals and 32
// lower-case hex digits.
func ValidID(kind IDKind, s string) bool {
	if len(s) != 34 || !strings.HasPrefix(s, string(kind)) {
		return false
	}
	bad := false
	for i := 2; i < len(s); i++ {
		bad = bad || notHex[s[i]]
	}
	return !bad
}

// notHex marks what is no lower-case hex digit. A comparison of each would be guessed
// wrong for every third digit of an id, which is random.
var notHex = func() (out [256]bool) {
	for c := range out {
		out[c] = (c < '0' || c > '9') && (c < 'a' || c > 'f')
	}
	return out
}()

// ParseRegionID checks the form of a region id; whether it exists is the topology's to say.
func ParseRegionID(s string) (RegionID, error) {
	if !regionPattern.MatchString(s) {
		return "", fmt.Errorf("region id must match %s", regionPattern)
	}
	return RegionID(s), nil
}

// ParseBoundary checks the form of a boundary's name.
func ParseBoundary(s string) (Boundary, error) {
	if !boundaryPattern.MatchString(s) {
		return "", fmt.Errorf("boundary must match %s", boundaryPattern)
	}
	return Boundary(s), nil
}

// ParseSlug checks a tenant's slug. A phone number must not fit, so a run of
// five or more digits is refused, hyphens ignored. Names of people cannot be
// recognised and are not refused: the docs say so.
func ParseSlug(s string) (Slug, error) {
	if !slugPattern.MatchString(s) {
		return "", fmt.Errorf("slug must match %s", slugPattern)
	}
	if digitRun.MatchString(strings.ReplaceAll(s, "-", "")) {
		return "", fmt.Errorf("slug must not hold five or more digits in a row (hyphens ignored): a phone number must not fit")
	}
	return Slug(s), nil
}

// ParseTenantID checks the form of a tenant id.
func ParseTenantID(s string) (TenantID, error) {
	if !ValidID(KindTenant, s) {
		return "", fmt.Errorf("tenant id must be TN and 32 hex digits")
	}
	return TenantID(s), nil
}
