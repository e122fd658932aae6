// Package archtest is the architecture as a test: which package may import
// what, and why, as data ([imports], [doors], [calls]). It reads what the
// compiler reads (`go list -deps -json`) and the syntax of our own files, so
// no prose can drift from it.
//
// A rule that names a package which does not exist fails: it would protect
// nothing. To allow something new, change the table and say why in the same
// line; the reviewer reads that line.
package archtest
