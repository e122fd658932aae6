package store

import "time"

// KeyID names one key of the region's key table for good: the generation in
// which it was drawn, and its place. Rotation wraps keys anew and renames none.
type KeyID struct {
	Generation uint64
	Index      uint64
}

// KeyUse says why a key is used. The list is closed: it is a metric's label, and
// is told to the key service where that has a place for it.
type KeyUse string

// The reasons to use a key.
const (
	UseNode   KeyUse = "node"   // the node's own files: indexes, the bundle's cache, settings
	UseIngest KeyUse = "ingest" // a record, recording or transcript is taken in
	UseRead   KeyUse = "read"   // its tenant reads it
	UseExport KeyUse = "export" // a pseudonymised export, or the export of a subject
	UseErase  KeyUse = "erase"  // erasure, retention, the end of a tenant
	UseScrub  KeyUse = "scrub"  // merge and verification
	UseRotate KeyUse = "rotate" // a generation begins or ends
	UseBackup KeyUse = "backup" // a backup of the region, or its restore
	UseMove   KeyUse = "move"   // a tenant moves
)

// KeyUses is the closed list.
func KeyUses() []KeyUse {
	return []KeyUse{UseNode, UseIngest, UseRead, UseExport, UseErase, UseScrub, UseRotate, UseBackup, UseMove}
}

// Keys is the region's key service: region root → key-table generation → a
// random key per chunk (contract §6, "Keys"). dataplane/local keeps the table in
// files and the generations' keys with a custodian: a file, a cloud's key
// service, a hardware module. Keys never leave the region and are in no backup
// of records.
//
// While the key service is away, Draw, Open and Named go on with what is held
// for policy.KeysFor; then they are UNAVAILABLE until it is back.
type Keys interface {
	// For is the same service for one reason. What is not asked through For counts
	// as UseErase where it destroys, else as UseNode.
	For(use KeyUse) Keys
	// Draw hands out a fresh random 256-bit key that is already durable in the
	// table, so that using it costs no further sync.
	Draw() (KeyID, [32]byte, error)
	// Open finds a key again. A destroyed one is policy.Destroyed.
	Open(id KeyID) ([32]byte, error)
	// Named finds or makes (durably) a region key by its name: index HMACs,
	// pseudonym secrets, the bundle cache. Names are closed ids such as
	// "index/subject" or "pseudonym/TN…/RP…/analytics/2026-11".
	Named(name string) ([32]byte, error)
	// Destroy makes keys impossible to open, here and after a restart: from then
	// on each is policy.Destroyed. A copy of the table made before still holds
	// them until their generation is destroyed: see Retire. Repeating it is harmless.
	Destroy(ids []KeyID) error
	// Forget destroys named keys and says how many there were; asked for again, a
	// name has a new key. Names that were never used are passed over.
	Forget(names []string) (int, error)
	// Retire asks for the current generation to be replaced soon, and destroyed,
	// and gives its number. Once its Fate is final, nothing that Destroy or Forget
	// destroyed before this call opens from any copy of the table, however old.
	// It does not wait. An error means that it was not asked for.
	Retire() (uint64, error)
	// Fate tells what became of a generation.
	Fate(generation uint64) (KeyFate, error)
	// Healthy reports why keys cannot be had, else nil.
	Healthy() error
	Close() error
}

// KeyFate is what became of a key generation.
type KeyFate struct {
	Generation uint64
	Created    time.Time // UTC
	Retired    time.Time // a later generation took its place; zero: it is the current one
	Destroyed  time.Time // its key was given up; zero: not yet
	// Final is the time at which nothing opens its table any more: its custodian's
	// deletion delay is over, caches have run out, and so it is with every earlier
	// generation. Zero: not known yet, because one of them is not destroyed.
	Final time.Time
}

// IsFinal reports whether the generation is beyond recovery at now.
func (f KeyFate) IsFinal(now time.Time) bool { return !f.Final.IsZero() && !now.Before(f.Final) }
