// Package members keeps the cluster's membership as it is meant to be. Who is
// meant to belong to it stands in the replicated state; who votes stands in
// Raft's configuration; the leader's Steward makes the second follow the first,
// one step at a time.
//
//	Directory  where a member is reached
//	Roll       what the leader has heard of each member, in memory only
//	Step       PURE: the next single step, from a View of all of that
//	Steward    takes the steps while this member leads
//
// A change is written into the state before Raft's configuration is touched, so
// that it has its audit leaf, and that whoever leads next finishes it. Nothing
// here ever removes a member when that would leave fewer voters than the floor,
// or no living majority. docs/adr/0014 says why this is not raft-autopilot.
package members
