// Package server is a region's surface for tenants: one HTTPS listener that
// speaks HTTP/1.1 only, takes call records in, and gives a tenant back what is
// its own.
//
// What disagrees with the region is refused from the headers alone, in the
// contract's order (§4): host → 421, credential of another known region → 421,
// of an unknown one → 401, no bundle yet → 503, unknown key → 401, moved tenant
// → 421 or 401, and only then permission. A refused request's body is never
// read: the connection is taken from net/http (which would read up to 256 KiB
// after an early answer), answered, held for at most half a second so that the
// answer arrives, and closed. What the client sent meanwhile stays in the
// kernel's buffers and is thrown away there.
//
// Every route is a row of one table with the action that it needs; a path
// without a row answers 404, a row without an action cannot be built. Every
// handler that moves data holds a policy.Permit from the gate. Nothing that a
// body or a query says is ever logged.
package server
