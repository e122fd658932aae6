// Package selftest sends a node's own data listeners what belongs to another region,
// and demands the refusal that the contract promises: WRONG_REGION, decided from the
// headers, the body unread (03 section 10, 04 invariants 7 and 8).
//
// It goes the way of a tenant: over TCP and TLS, to the address that the node listens
// at, with the region's certificate verified. What it shows is an API key of the right
// form of another region, with an id of 128 random bits and a secret of 256, so that
// no such key exists there or here; the body that it declares is never sent, so that
// nothing can be stored even by a node that takes everything.
package selftest
