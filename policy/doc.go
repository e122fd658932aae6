// Package policy is the pure heart of Domicile: which region is a tenant's
// home, what may be done with its data where, and why not.
//
// It imports only the standard library and does no I/O: no clock, no context,
// no logging, no randomness of its own. Time and the age of the policy bundle
// are fields of a [Request]. [Decide] evaluates every rule, returns every
// reason, denies when no rule speaks, and is the only producer of a non-empty
// [Permit]. Every function elsewhere that moves personal data takes a Permit,
// so four words to grep (Permit, Decide, Pseudonymised, Send) show every place
// where data moves.
//
// The package also owns the shared vocabulary: identifiers ([RegionID],
// [TenantID], …), data classes, field classes, operations, egress classes, the
// rows of a signed bundle, and the reasons of every error ([Reason]).
package policy
