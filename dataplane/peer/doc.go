// Package peer is both ends of the one road between regions: [Sender] delivers
// frozen transfers of pseudonymised rows, [Receiver] takes them in.
//
// The receiver derives the sender's region from its certificate and checks each
// transfer against its own bundle's inbound pair; it stores the rows and the
// high-water mark in one transaction, and what it stores ([Received]) is a type
// that no sending function accepts, so that received data cannot be sent on.
package peer
