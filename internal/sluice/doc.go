// Package sluice keeps the bodies of a gRPC server's streams at their senders until
// somebody has decided, from a stream's headers, that it may bring one.
//
// HTTP/2 lets a client send a body at once, up to the stream's first window, which
// gRPC for Go makes 64 KiB at least. Behind [Credentials] the first window is
// nothing: the connection greets with SETTINGS_INITIAL_WINDOW_SIZE 0 (RFC 9113,
// §6.9.2), and [Stream.Open] gives the stream the 64 KiB that gRPC believes it has,
// with a WINDOW_UPDATE between two frames of gRPC's own. A client that sent before
// it had read the greeting may have sent 65,535 bytes in all (the first window of a
// connection); whoever sends more unasked is cut off.
//
// It reads frame by frame, so that [Tap], which gRPC calls while it works on a
// stream's headers, knows the number of that stream; gRPC does not tell it.
//
// What no reader needs is bounded here too: frames that carry no body, and bodies
// in so many small frames that keeping them costs far more than they hold.
package sluice
