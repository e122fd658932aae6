// Package local is the embedded record store: one folder of pebble, one
// process, no other service. It implements store.Store for a region that runs
// on a single machine.
//
// Records are compressed, then sealed, in frames; concurrent Append calls of a
// tenant share one frame's sync (group commit without a timer). Around the
// frames stand index rows that hold nothing but keyed tags, random ids,
// ordinals and times. schema.go names every key; DESIGN.md says why it is so.
//
//	keys, err := local.OpenKeyring(…)             // package dataplane/local
//	s, err := local.Open(local.Options{Dir: …, Region: "ie1", Keys: keys})
//	out, err := s.Append(ctx, permit, records)    // durable when it returns
package local
