// Package local is the embedded record store: one folder of pebble, one
// process, no other service. It implements store.Store for a region that runs
// on a single machine. What it keeps in rows, and how it is sealed, is package
// dataplane/store/sealed; here is the engine, and what pebble must not be
// trusted with.
//
//	keys, err := local.OpenKeyring(…)             // package dataplane/local
//	s, err := local.Open(local.Options{Dir: …, Region: "ie1", Keys: keys})
//	out, err := s.Append(ctx, permit, records)    // durable when it returns
package local
