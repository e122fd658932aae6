package policy

// Permit is the right to move one tenant's data once, in one way. Only Decide
// makes a non-empty one; the zero Permit permits nothing. It is small and
// passed by value.
type Permit struct {
	tenant    TenantID
	op        Operation
	class     DataClass
	region    RegionID
	recipient RecipientID
	to        RegionID
	purpose   string
	basis     string
	transform Transform
	revision  uint64
	epoch     uint64
}

// Transform is what must happen to data before it moves under a permit.
type Transform uint8

// The transforms.
const (
	AsIs         Transform = iota + 1 // within the home region, to the tenant itself
	Pseudonymise                      // keyed pseudonyms, generalised quasi-identifiers, no content
)

// Empty reports whether the permit permits nothing.
func (p Permit) Empty() bool { return p.op == 0 }

// Allows reports whether the permit covers op on class for tenant.
func (p Permit) Allows(tenant TenantID, op Operation, class DataClass) bool {
	return p.op == op && p.class == class && p.tenant == tenant && p.op != 0 && tenant != ""
}

// Tenant whose data may move.
func (p Permit) Tenant() TenantID { return p.tenant }

// Operation that is permitted.
func (p Permit) Operation() Operation { return p.op }

// Class of data that may move.
func (p Permit) Class() DataClass { return p.class }

// Region where the operation happens (for an export: the sender).
func (p Permit) Region() RegionID { return p.region }

// Recipient of an export, else "".
func (p Permit) Recipient() RecipientID { return p.recipient }

// To is the region that receives an export, else "".
func (p Permit) To() RegionID { return p.to }

// Purpose of an export, else "".
func (p Permit) Purpose() string { return p.purpose }

// Basis is the transfer basis of an export, else "".
func (p Permit) Basis() string { return p.basis }

// Transform that the data must go through first.
func (p Permit) Transform() Transform { return p.transform }

// Revision of the policy that was decided under.
func (p Permit) Revision() uint64 { return p.revision }

// HomeEpoch of the tenant when decided.
func (p Permit) HomeEpoch() uint64 { return p.epoch }
