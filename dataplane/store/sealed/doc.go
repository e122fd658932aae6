// Package sealed is what every record store of Domicile does above rows of
// bytes: it compresses and seals, keeps the indexes of keyed tags, deduplicates,
// folds, counts, finds, forgets. It implements store.Store over an [Engine];
// dataplane/store/local gives it a folder, dataplane/store/sql a database.
//
// Records are compressed, then sealed, in frames; concurrent Append calls of a
// tenant share one frame's sync (group commit without a timer). Around the
// frames stand index rows that hold nothing but keyed tags, random ids,
// ordinals and times. schema.go names every key; DESIGN.md says why it is so.
package sealed
