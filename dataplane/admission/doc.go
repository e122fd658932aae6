// Package admission decides which requests a node takes up, which wait a moment
// and which are told at once to come back: so that a node that is asked for ten
// times what it can do still does what it can, no tenant takes another's share,
// and memory stays bounded.
//
// A request that comes in has a tenant, a lane, a weight and what memory it may
// hold. It needs three things:
//
//	quota   what its tenant may ask for in a second (requests, records, bytes)
//	place   one of the requests in flight, and memory of the node's budget
//	turn    a part of its lane's capacity: who has one is worked on
//
// Lanes do not share turns: [Ingest] takes records in, [Read] shows them, [Erase]
// forgets persons and is never refused for what anybody else does. Who waits for
// a turn waits in its tenant's own queue; the next turn is for the tenant that has
// least of the lane now, and of several for the one that has had least (start-time
// fair queueing: Goyal, Vin, Cheng, 1996); no tenant ever has more than three
// quarters of a lane. The queue
// of a tenant that has its part takes no more when its oldest request has waited
// for longer than a target, or the next one would (the idea of CoDel, RFC 8289:
// delay, not length, says that a queue stands); so a refusal is told at once, and
// who waits is served. A tenant may have as many places, and as much memory, as
// are free after it has taken them (dynamic thresholds: Choudhury, Hahne, 1998),
// so that no few tenants together leave nothing.
//
// Who waits for its own client (a body that drips, an answer that is not taken)
// gives its turn back meanwhile; its place it keeps.
//
// What was taken up is never refused afterwards: a stream that exceeds its quota
// is slowed, and the next request refused.
//
// The rules are a machine without clock, lock or randomness (machine.go); the
// rest of the package gives it all three.
package admission
