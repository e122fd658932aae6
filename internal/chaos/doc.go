// Package chaos makes the faults that Domicile must survive, between and in
// real processes on one machine, and says of each whether it took effect.
//
// A [Mesh] stands between every two voters: one user-space TCP proxy ([Link])
// for each who-dials-whom, so that cutting what A says to B leaves what B says
// to A alone. It cannot read what passes (TLS), and loses nothing of a stream:
// a blocked direction holds its bytes, as a network does whose packets are
// retransmitted, and healing either lets them go on or resets the connections.
//
// [Syscalls] slows or fails the disk writes of a running process through strace,
// [Volume] is a small filesystem of its own that can be filled up or lose its
// power, [Flip] and [Truncate] damage a file at rest, [JumpClock] sets one process's wall clock.
// [StateOf] tells whether a process is stopped.
//
// A fault without a witness did not happen: the counters of the mesh, strace's
// own record, the process's state, the changed file, the time that a
// process tells. Tests and nothing else
// import this package.
package chaos
