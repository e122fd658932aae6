// Package export decides what of a region's call records may cross a border,
// freezes it, and sees that it arrives exactly once.
//
// Calls are looked at in windows that tumble over acknowledgement time and are
// judged once, after they have closed: Decide, pseudonymise, singling-out gate,
// then in ONE transaction the frozen bytes, their sequence, the transfer record
// and the window's end. A crash before it repeats the window; a crash after it
// repeats only the sending, and the receiver drops what it has. Before each
// sending the gate is asked again, now. Any error means that nothing leaves and
// the queue grows.
//
// The outbox is a file of its own, not part of the record store, because every
// record store (embedded or PostgreSQL) must behave the same here.
package export
