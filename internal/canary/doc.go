// Package canary finds personal data where it must not be: it makes unique
// values for personal fields, writes each in many forms (encodings, truncations
// and unkeyed or empty-keyed hashes), and searches files and bytes for all of
// them at once. It belongs to the residency scan (invariants 1 and 2).
package canary
