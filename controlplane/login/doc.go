// Package login checks the tokens of people whom an OpenID issuer vouches for,
// and turns each person into a principal that says nothing of who they are.
//
// What is taken is a JWT access token (RFC 9068) that the issuer made for this
// control plane's audience (RFC 8707), and never an ID token: an ID token is
// addressed to the client that asked for it, and one that leaks from any client
// would open the control plane. A configuration whose audience is its client id
// is refused for the same reason.
//
// A token is refused unless all of this holds: at most 8 KiB; a header without a
// key or a place to find one (jwk, jku, x5c, x5u) and without crit; a type that
// an access token may have; an algorithm of the list, which holds no symmetric
// one; a key of the issuer's own set, found by its id, of the kind and use that
// the algorithm demands; claims and header without a name twice, in any
// spelling; exactly our issuer, our audience, our client; not expired, without
// leeway; not from the future, with at most a minute; at most a day long.
//
// Keys are read from the issuer, anew every ten minutes while they are used and
// when a token names one that is not known, at most once in five seconds. While
// the issuer does not answer, keys that are known go on for a day; a token under
// another key is answered [ErrUnavailable]. A key that the issuer takes back ends
// the tokens that it signed, checked before or not.
package login
