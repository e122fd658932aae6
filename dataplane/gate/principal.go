package gate

import (
	"github.com/domicile-io/domicile/policy"
)

// Principal is who asks, once authenticated.
type Principal struct {
	Tenant    policy.TenantID
	Slug      policy.Slug // "" for a recipient: the sender's slug is not known here
	Role      policy.KeyRole
	Key       policy.KeyID
	Recipient policy.RecipientID // role recipient only
}

// Action is a kind of request to a region's listener.
type Action uint8

// The actions.
const (
	WriteRecords  Action = iota + 1 // POST calls, batches, feeds
	ReadRecords                     // GET and search calls, rollups, exports as files
	ReadLedger                      // egress ledger, transfers
	ReadSettings                    // feeds' settings, quarantine
	WriteSettings                   // feeds' settings, quarantine replay
	RunExports                      // exports:run
	ReadReceived                    // /v1/received
	Erase                           // erasing persons, legal holds, numbers that change hands
	numActions    = iota + 1
)

// may is the whole table: what is not listed is denied.
var may = map[policy.KeyRole][numActions]bool{
	policy.RoleIngest:    {WriteRecords: true},
	policy.RoleReader:    {ReadRecords: true, ReadLedger: true, ReadSettings: true},
	policy.RoleAdmin:     {WriteRecords: true, ReadRecords: true, ReadLedger: true, ReadSettings: true, WriteSettings: true, RunExports: true, Erase: true},
	policy.RoleRecipient: {ReadReceived: true},
}

// May is nil when the principal's role allows the action, else PERMISSION_DENIED.
func (p Principal) May(a Action) error {
	if a > 0 && a < numActions && may[p.Role][a] {
		return nil
	}
	return policy.Errorf(policy.PermissionDenied, "a key of role %q may not do this; use a key with a role that may", string(p.Role)).With("role", string(p.Role))
}
