// Package client speaks to Domicile over REST: [Control] to the control plane,
// which holds no personal data, and [Region] to one region, which does. They
// are two types because they are two credentials, two hosts and two kinds of
// data; nothing here can carry a record from one to the other.
//
// Every refusal is a *policy.Error with the reason of the problem document;
// its metadata holds "request_id". A request that never left is UNAVAILABLE; a
// write whose answer was lost is OUTCOME_UNKNOWN, and repeating it is safe: a
// write to the control plane carries an Idempotency-Key, a record its own id.
//
// Redirects are never followed: data goes where it was sent, or nowhere.
package client
