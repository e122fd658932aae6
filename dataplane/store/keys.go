package store

// KeyID names one key of the region's key table: generation and place.
type KeyID struct {
	Generation uint64
	Index      uint64
}

// Keys is the region's key service: region root → key-table generation → a
// random key per chunk (contract §6, "Keys"). dataplane/local keeps it in
// files; cloud key services follow. Keys never leave the region and are in no
// backup of records.
type Keys interface {
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
	// them until their generation is destroyed. Repeating it is harmless.
	Destroy(ids []KeyID) error
	// Forget destroys named keys and says how many there were; asked for again, a
	// name has a new key. Names that were never used are passed over.
	Forget(names []string) (int, error)
	// Healthy reports why keys cannot be had, else nil.
	Healthy() error
	Close() error
}
