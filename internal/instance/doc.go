// Package instance verifies what a cloud says of one of its machines: an AWS
// instance identity document in its RSA-2048 form, which is PKCS #7 SignedData
// (RFC 2315) around a JSON document and what the instance metadata service
// answers at /latest/dynamic/instance-identity/rsa2048.
//
// The certificates that AWS signs with are published by AWS for each of its
// regions, and are configured by the operator: none is built in. A document
// carries neither a nonce nor a name of ours, so whoever has read it can show it
// again. It counts only on a connection of the node's own certificate, and the
// control plane gives each instance to one node for ever.
package instance
