// Package server is the surface of one voter: the gRPC services, the REST
// gateway in front of them, and the stream that gives each region its bundle.
//
// Every call, of a person over REST or of a voter over gRPC, enters through the
// same listener and the same chain (interceptors.go), in this order: request
// id, panic recovery, who connects (certificate), may this kind of connection
// call this method at all (permissions.go), forward to the leader, who speaks
// (bearer token), may they, is the message well formed, handle. REST is no side
// door: the gateway dials our own listener with a certificate of role gw, which
// by itself may do nothing.
//
// Reads are linearizable unless a caller asks for less. Writes go to the leader
// and are stamped here (time, actor, ids, secrets), because applying a command
// may not make anything up. Three outcomes stay distinct: done, not done
// (UNAVAILABLE among others), unknown (OUTCOME_UNKNOWN).
//
// What is held in memory only, by the leader: which nodes are connected. It
// begins anew with a new leader.
package server
