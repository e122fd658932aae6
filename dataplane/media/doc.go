// Package media keeps recordings and transcripts of calls beside the records:
// what is known of one is an item of the store, its bytes are blobs that are
// sealed before they leave this package.
//
// A recording has a key of its own, drawn when its upload begins. It arrives in
// parts (one request may make several); each part is a blob of sealed frames
// (frame.go) under a key derived from the recording's and the part's random
// name, so that a part that is sent again after a crash repeats no nonce. An
// upload is an item from its first byte on: nothing that was taken in is
// without an owner, abandoned uploads end after a day, and erasing a call finds
// them too. Destroying the one key makes all of it unreadable, wherever copies are.
//
// A range is read by opening only the frames that it touches.
package media
