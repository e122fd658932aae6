// Package move carries the rows of a region from its embedded store into its
// database while the node serves.
//
// The embedded store is the truth until the last moment; the database is a copy
// of sealed rows that nothing can open, because the keys cross last. There is one
// piece of work, a pass: rows of the store, as they are at one moment, are held
// against those of the database, and what differs is written. On an empty
// database it copies, on a half copied one it goes on, on a whole one it proves:
// a pass that finds nothing to write has read every byte of both sides. What
// changes meanwhile is noted by the store (its Follow) and written again between
// the parts of a pass, always as it is at a later moment than what was written
// before, so that nothing goes back.
//
// At the end everything that changes rows is shut, for as long as the last few
// changes, the shelves and the keys need; reads go on. Whoever writes meanwhile
// is told NOT_READY and nothing of theirs is there.
package move
