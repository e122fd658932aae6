package store

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/domicile-io/domicile/policy"
)

// Format is the version of everything in this file. A store of another format
// is refused: reading it is the work of a migration, not of a guess.
const Format = 6

// Limits. Each is checked in Apply, so that they hold whoever proposes.
const (
	MaxPendingChanges = 100     // of one tenant
	MaxKeys           = 1000    // of one tenant
	MaxTokens         = 10_000  // of the cluster, expired ones that are not removed yet included
	MaxPrincipals     = 10_000  // bound to a role, in the cluster
	bootstrapHours    = 24      // of stamped time that a bootstrap token lasts
	MaxCommand        = 1 << 20 // bytes of an encoded command
	MaxList           = 1001    // objects of one list read: a page and one to know of the next
	LogRevisions      = 10_000  // revisions that the change log reaches back
	idempotencyHours  = 24      // of stamped time
	prunePerEntry     = 4       // idempotency records that one entry removes at most; more than it adds
	forgetPerEntry    = 64      // answers that one entry forgets at most

	MaxIdempotent = 1_000_000 // idempotency records; beyond it the oldest go before their 24 hours
	MaxAnswers    = 32 << 20  // bytes of answers kept with them; beyond it an answer is what the row still says
)

// The buckets. "→" is key → value; values are sealed JSON (see seal), and those of
// indexes are sealed and empty. Both, and since format 1, unless said.
var (
	bucketMeta = []byte("meta") // see the meta keys below

	bucketTenants  = []byte("tenants")  // TN… → Tenant
	bucketSlugs    = []byte("slugs")    // slug → tenant id; a slug is never reused
	bucketPolicies = []byte("policies") // TN… → Policy, packed (packed_policy.go). So since format 6
	bucketKeys     = []byte("keys")     // SK… → Key
	bucketRegions  = []byte("regions")  // region → Region
	bucketFeatures = []byte("features") // region / name → Feature
	bucketEntities = []byte("entities") // country → Entity
	bucketBases    = []byte("bases")    // id → Basis
	bucketChanges  = []byte("changes")  // CH… → Change
	bucketTokens   = []byte("tokens")   // hex SHA-256 → Token

	bucketTenantKeys = []byte("tenant_keys") // TN… / SK… → (index)
	bucketPending    = []byte("pending")     // TN… / hash → change id; pending changes only
	bucketHomes      = []byte("homes")       // region / TN… → (index): tenants homed there, and those that moved away
	bucketPairs      = []byte("pairs")       // recipient's region / TN… / RP… → (index)
	bucketLog        = []byte("log")         // revision (8 bytes, big-endian), a batch's last one → logRecord: bundle rows that it touched. So since format 6
	bucketExpiry     = []byte("idem_expiry") // stamped Unix ns (8 bytes) + hash of actor and key (16 bytes) → idempotent and its answer, in bytes of its own. So since format 5

	// Values are sealed bytes, not JSON of ours. So since format 4.
	bucketLeaves = []byte("audit_leaves") // number (8 bytes, big-endian; revision-1) → packed audit leaf
	bucketHashes = []byte("audit_hashes") // number (8 bytes, big-endian) → hash of the audit tree, of whole blocks and above

	// Since format 3.
	bucketBasisTenants = []byte("basis_tenants")     // basis / TN… → (index): tenants whose policy lets something leave under it
	bucketNodes        = []byte("nodes")             // ND… → Node
	bucketNodeRows     = []byte("node_rows")         // region / ND… → (index): nodes of which the bundle speaks
	bucketInstances    = []byte("node_instances")    // cloud instance → node id; never taken back
	bucketAdmission    = []byte("node_admission")    // region → NodeAdmission; absent: automatic
	bucketViolations   = []byte("violations")        // VI… → Violation
	bucketUnresolved   = []byte("violation_holding") // category / resource → violation id; not resolved ones
	bucketViolationAge = []byte("violation_age")     // state (1 byte) + last seen, Unix ns (8 bytes) + VI… → (index): the first goes first
	bucketTokenIDs     = []byte("token_ids")         // PR… → hex SHA-256 of the token
	bucketTokenExpiry  = []byte("token_expiry")      // stamped Unix ns (8 bytes, big-endian) + PR… → (index)
	bucketPrincipals   = []byte("principals")        // PR… → Principal: roles of people that an issuer vouches for
	bucketMembers      = []byte("members")           // name → Member, removed ones too
	bucketInvitations  = []byte("invitations")       // hex SHA-256 → Invitation
	bucketOperations   = []byte("operations")        // OP… → tenant id whose end it is
	bucketReceipts     = []byte("receipts")          // TN… / ND… / hash → PurgeReceipt
	bucketWork         = []byte("work")              // OP… → Operation: long-running ones beside the ends of tenants
)

// The meta keys.
var (
	metaFormat   = []byte("format")   // int
	metaCluster  = []byte("cluster")  // Cluster
	metaApplied  = []byte("applied")  // position of the last applied entry
	metaRevision = []byte("revision") // uint64

	metaBootstrap = []byte("bootstrap") // Bootstrap; absent where the first credentials were configured. Since format 3
	metaVersion   = []byte("version")   // int: protocol version that the cluster has reached; absent is 1; since format 3
	metaAnswers   = []byte("answers")   // answers: how much of idempotency is kept; since format 4
)

// buckets in the order in which StateHash walks them.
var buckets = [][]byte{
	bucketMeta, bucketTenants, bucketSlugs, bucketPolicies, bucketKeys, bucketRegions, bucketFeatures,
	bucketEntities, bucketBases, bucketChanges, bucketTokens, bucketTenantKeys, bucketPending,
	bucketHomes, bucketPairs, bucketLog, bucketExpiry, bucketLeaves, bucketHashes,
	bucketBasisTenants,
	bucketNodes, bucketNodeRows, bucketInstances, bucketAdmission, bucketViolations, bucketUnresolved, bucketViolationAge,
	bucketTokenIDs, bucketTokenExpiry, bucketPrincipals,
	bucketMembers, bucketInvitations,
	bucketOperations, bucketReceipts, bucketWork,
}

// position is where in the Raft log the state stands.
type position struct {
	Index uint64 `json:"index"`
	Term  uint64 `json:"term"`
}

// logRecord says which bundle rows a revision touched, or those of a batch: from First
// on to the one under which it stands.
type logRecord struct {
	First   uint64  `json:"first,omitempty"` // 0: it is of one revision
	Touches []touch `json:"touches,omitempty"`
	Resync  bool    `json:"resync,omitempty"` // too much to list: deltas do not reach across
}

// touch is one row key, as seen by one region; everyRegion is all of them.
type touch struct {
	Region policy.RegionID `json:"region"`
	Row    string          `json:"row"`
}

const everyRegion policy.RegionID = "*"

// path joins the parts of a compound key. No part holds a slash: ids, region
// ids, hex and feature names have none.
func path[A, B ~string](a A, b B) []byte { return []byte(string(a) + "/" + string(b)) }

func pairKey(region policy.RegionID, tenant policy.TenantID, r policy.RecipientID) []byte {
	return []byte(string(region) + "/" + string(tenant) + "/" + string(r))
}

func revisionKey(rev uint64) []byte { return binary.BigEndian.AppendUint64(nil, rev) }

// etagOf is the etag of an object last changed at rev.
func etagOf(rev uint64) string { return strconv.FormatUint(rev, 16) }

func checkFormat(got int) error {
	if got != Format {
		return fmt.Errorf("state has format %d and this program reads format %d only: run the version that wrote it", got, Format)
	}
	return nil
}
