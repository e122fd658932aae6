package verify

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"strings"
	"time"
)

// Statement is what a receipt says: in a region, under a revision of the policy,
// Count versions of a tenant's records were durable at Time.
type Statement struct {
	Format   int       `json:"format"`
	Region   string    `json:"region"`
	Tenant   string    `json:"tenant"`
	Writer   string    `json:"writer"`
	First    uint64    `json:"first"`
	Count    uint64    `json:"count"`
	Revision uint64    `json:"revision"`
	Time     time.Time `json:"time"`
	Records  string    `json:"records"` // hex, root over the versions' commitments
}

// Receipt is all that a check of one needs, beside the log's key.
type Receipt struct {
	ID        string   `json:"id"`
	Statement string   `json:"statement"`
	Index     uint64   `json:"index"`
	Hashes    []string `json:"hashes"`
	Proof     struct {
		Checkpoint struct {
			Note string `json:"note"`
		} `json:"checkpoint"`
		Index  uint64   `json:"index"`
		Leaf   string   `json:"leaf"`
		Detail string   `json:"detail"`
		Hashes []string `json:"hashes"`
	} `json:"proof"`
	Records []Opening `json:"records"`
}

// Opening shows what is behind one commitment of a receipt.
type Opening struct {
	ID      string `json:"id"`
	Salt    string `json:"salt"`
	Content string `json:"content"` // hex SHA-256 of what was sent
}

var (
	regionForm = regexp.MustCompile(`^[a-z]{2}[0-9]{1,2}$`)
	tenantForm = regexp.MustCompile(`^TN[0-9a-f]{32}$`)
	writerForm = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

// Check checks a receipt by the key of its region's log: the statement is under
// the root that the leaf's detail names, the detail is what the leaf commits to,
// the leaf is in the log, the log is signed, and the openings, if there are any,
// are all that the statement counts.
func (r *Receipt) Check(key Key) (Statement, Checkpoint, error) {
	s, err := r.statement()
	if err != nil {
		return s, Checkpoint{}, err
	}
	point, err := Open([]byte(r.Proof.Checkpoint.Note), key)
	if err != nil {
		return s, point, err
	}
	if parts := strings.Split(point.Origin, "/"); len(parts) != 5 || parts[2] != "region" || parts[3] != s.Region {
		return s, point, found(BadProof, r.Proof.Index, "the receipt is of region %s and the checkpoint is not of that region's log", s.Region)
	}
	if err := r.inLog(point, s.Tenant); err != nil {
		return s, point, err
	}
	return s, point, r.opened(s)
}

func (r *Receipt) statement() (s Statement, err error) {
	d := json.NewDecoder(strings.NewReader(r.Statement))
	d.DisallowUnknownFields()
	bad := func(why string) (Statement, error) { return Statement{}, found(BadRecord, r.Proof.Index, "%s", why) }
	if len(r.Statement) > maxRecord || d.Decode(&s) != nil {
		return bad("the receipt's statement is not JSON of the known fields")
	}
	if again, err := json.Marshal(s); err != nil || string(again) != r.Statement {
		return bad("the receipt's statement is not written in its one canonical form")
	}
	if s.Format != 1 || s.Time.Location() != time.UTC || !regionForm.MatchString(s.Region) || !tenantForm.MatchString(s.Tenant) ||
		!writerForm.MatchString(s.Writer) || !commands.MatchString(s.Records) || s.Count == 0 {
		return bad("a field of the receipt's statement does not have its closed form")
	}
	return s, nil
}

// inLog checks the way from the statement to the checkpoint.
func (r *Receipt) inLog(point Checkpoint, tenant string) error {
	bad := func(why string) error { return found(BadProof, r.Proof.Index, "%s", why) }
	var detail struct {
		Receipts uint64 `json:"receipts"`
		Root     string `json:"root"`
		Tenant   string `json:"tenant"`
	}
	if json.Unmarshal([]byte(r.Proof.Detail), &detail) != nil || detail.Tenant != tenant {
		return bad("what the leaf commits to is not about receipts of this tenant")
	}
	root, err := hashOf(detail.Root)
	if err != nil {
		return err
	}
	path, err := hashesOf(r.Hashes)
	if err != nil {
		return err
	}
	if err := Inclusion(Checkpoint{Size: detail.Receipts, Root: root}, r.Index, RecordHash([]byte(r.Statement)), path); err != nil {
		return bad("the statement is not among those that the leaf gathers")
	}
	leaf, err := ParseLeaf([]byte(r.Proof.Leaf))
	if err != nil {
		return err
	}
	if sum := sha256.Sum256([]byte(r.Proof.Detail)); leaf.Command != hex.EncodeToString(sum[:]) || leaf.Action != "receipt.batch" || leaf.Resource != tenant {
		return bad("the leaf is not about these receipts")
	}
	if leaf.Index != r.Proof.Index {
		return found(OutOfOrder, r.Proof.Index, "the record says that it has another number")
	}
	if path, err = hashesOf(r.Proof.Hashes); err != nil {
		return err
	}
	return Inclusion(point, r.Proof.Index, RecordHash([]byte(r.Proof.Leaf)), path)
}

// opened computes the root of the commitments from what they commit to.
func (r *Receipt) opened(s Statement) error {
	if len(r.Records) == 0 {
		return nil
	}
	if uint64(len(r.Records)) != s.Count {
		return found(BadProof, r.Proof.Index, "the receipt opens %d records and is for %d", len(r.Records), s.Count)
	}
	writer, _ := hex.DecodeString(s.Writer) // its form was checked
	var t tree
	for i, o := range r.Records {
		salt, err1 := hex.DecodeString(o.Salt)
		content, err2 := hex.DecodeString(o.Content)
		if err1 != nil || err2 != nil || len(salt) != 16 || len(content) != 32 {
			return found(BadProof, r.Proof.Index, "an opening of the receipt is malformed")
		}
		buf := bytes.Join([][]byte{[]byte("domicile version 1\n"), salt, []byte(s.Tenant), writer, binary.BigEndian.AppendUint64(nil, s.First+uint64(i)), content}, nil)
		t.add(RecordHash(buf))
	}
	if root := t.root(); hex.EncodeToString(root[:]) != s.Records {
		return found(Altered, r.Proof.Index, "the records are not those that the receipt was given for")
	}
	return nil
}

func hashOf(text string) (h Hash, err error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(h) {
		return h, found(BadProof, 0, "a hash is malformed")
	}
	return Hash(b), nil
}

func hashesOf(texts []string) ([]Hash, error) {
	out := make([]Hash, len(texts))
	for i, t := range texts {
		var err error
		if out[i], err = hashOf(t); err != nil {
			return nil, err
		}
	}
	return out, nil
}
