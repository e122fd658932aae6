// Package telemetry traces what a node does, with words of closed sets only.
//
// Whatever leaves as telemetry counts as outside the region (04 §2), so a span
// says nothing that a caller could choose: its name is a [Name], its attributes
// are a route of the table, a status, a reason of the vocabulary, a source kind
// and counts. A span that says anything else is not sent, and counted
// (invariants 1 and 9). A caller's own trace id is not taken over, because it is
// sixteen bytes of the caller's choice, and none is passed on.
//
// Spans carry exact times, which a policy lets no region see of another (invariant 17):
// the collector must be in the node's own region. Sending goes through the
// region's one door, under the egress class TELEMETRY. Spans wait in a bounded
// queue; when it is full, or the collector is away, they are dropped: nothing
// ever waits for a trace.
package telemetry
