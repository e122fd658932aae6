package data

// Checkpoint is what a region's log held at one moment, signed.
type Checkpoint struct {
	Note string `json:"note"` // C2SP signed note over origin, size and root
	Key  string `json:"key"`  // the log's public key, in the form of signed notes
	// Certificate is a node's signature, in base64, over the lines "domicile region
	// log key v1", cluster, region, node and the key in hex; NodeCertificate is that
	// node's, in PEM, which the cluster's authority signed.
	Certificate     string `json:"certificate"`
	NodeCertificate string `json:"node_certificate"`
}

// LogLeaf is one record of a region's log, and what it commits to: the leaf's
// command is the SHA-256 of Detail.
type LogLeaf struct {
	Index  uint64 `json:"index"`
	Leaf   string `json:"leaf"`
	Detail string `json:"detail"`
}

// LogLeaves is a tenant's records, in order of their index.
type LogLeaves struct {
	Size       uint64      `json:"size"` // of the whole log
	Leaves     []LogLeaf   `json:"leaves"`
	NextStart  uint64      `json:"next_start,omitempty"` // where the next page begins; 0 at the end
	Checkpoint *Checkpoint `json:"checkpoint,omitempty"`
}

// LogProof proves that a record is in the log that a checkpoint signs.
type LogProof struct {
	Checkpoint Checkpoint `json:"checkpoint"`
	LogLeaf
	Hashes []string `json:"hashes"` // hex, RFC 6962 §2.1.1
}

// LogConsistency proves that the log of To records begins with that of From.
type LogConsistency struct {
	From   uint64   `json:"from"`
	To     uint64   `json:"to"`
	Hashes []string `json:"hashes"` // hex, RFC 6962 §2.1.2
}

// Receipt proves, together with the log's key, that one request's records were
// stored. Statement is under the root in the proof's Detail, which its leaf
// commits to, which the checkpoint signs.
type Receipt struct {
	ID        string        `json:"id"`
	Statement string        `json:"statement"`
	Index     uint64        `json:"index"` // of the statement among the leaf's
	Hashes    []string      `json:"hashes"`
	Proof     LogProof      `json:"proof"`
	Records   []ReceiptPart `json:"records"` // in order; empty when one of them was erased since or its time was over
}

// ReceiptPart opens the commitment to one stored version.
type ReceiptPart struct {
	ID      string `json:"id"`      // of its call
	Salt    string `json:"salt"`    // hex
	Content string `json:"content"` // hex SHA-256 of what was sent
}
