// Package local is the embedded record store: pebble, sealed frames, group commit.
package local
