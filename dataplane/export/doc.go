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
// Frozen bytes answer to today's policy: what was made for another region or
// purpose, or passed a lower gate, becomes a gap marker, and so does what waits
// for a recipient that no policy names any more. Its stream is closed then; if
// it is declared again, it gets nothing of the time between.
//
// Where a file was lost, the sequences of the two sides no longer fit. A receiver
// behind us gets a marker over what it has lost, because acknowledged bytes are
// not kept; a receiver ahead of us makes our queue go behind its mark. It knows
// transfers by id, so neither makes a row arrive twice.
//
// Caps count what was acknowledged on a UTC day, of all recipients of a tenant;
// what waits counts too when a window is judged. A transfer beyond the cap is
// refused, not delayed.
//
// The outbox is a file of its own, not part of the record store, because every
// record store (embedded or PostgreSQL) must behave the same here.
package export
