// Package lobby lets connections wait, few at a time and not for long, until they
// have shaken hands. Whoever serves a listener sees only those that have: before
// that a connection costs one goroutine and TLS's own buffers, after it whatever
// the server keeps for a connection (Raft's transport: a quarter of a mebibyte).
//
//	Listener     shakes hands, and bounds who waits and who is open
//	Credentials  shows gRPC what a Listener has already verified
package lobby
