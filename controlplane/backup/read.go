package backup

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"github.com/domicile-io/domicile/controlplane/store"
)

// maxWindow is the memory that decompressing may take, in bytes.
const maxWindow = 64 << 20

// File is an opened backup: its manifest was read and checked in form.
type File struct {
	Manifest Manifest
	SHA256   string // hex, as the file itself says; Check compares it

	from     io.ReaderAt
	size     int64
	manifest []byte
	seal     seal
	payload  int64 // where it begins
}

// Open reads what stands in plain in a backup of size bytes. It is not checked
// against anything yet.
func Open(from io.ReaderAt, size int64) (*File, error) {
	f := &File{from: from, size: size}
	r := &counting{r: io.NewSectionReader(from, 0, size)}
	begin := make([]byte, len(magic))
	if _, err := io.ReadFull(r, begin); err != nil || string(begin) != magic {
		return nil, errors.New("this is no backup of Domicile, or one of another format")
	}
	var err error
	if f.manifest, err = block(r, maxManifest); err != nil {
		return nil, fmt.Errorf("read the manifest: %w", err)
	}
	sealed, err := block(r, maxSeal)
	if err != nil {
		return nil, fmt.Errorf("read the seal: %w", err)
	}
	if err := strict(f.manifest, &f.Manifest); err != nil {
		return nil, errors.New("the manifest cannot be read: the backup is damaged, or of another version")
	}
	if err := f.Manifest.check(); err != nil {
		return nil, err
	}
	if err := strict(sealed, &f.seal); err != nil {
		return nil, errors.New("the seal cannot be read: the backup is damaged, or of another version")
	}
	if f.payload = r.n; f.payload+sha256.Size > size {
		return nil, errShort
	}
	end := make([]byte, sha256.Size)
	if _, err := from.ReadAt(end, size-sha256.Size); err != nil && err != io.EOF {
		return nil, fmt.Errorf("read backup: %w", err)
	}
	f.SHA256 = hex.EncodeToString(end)
	return f, nil
}

var errShort = errors.New("the backup is not whole: it was cut short")

// Check needs no key: the file is whole and undamaged, and its manifest sealed
// by a key that root certified for the manifest's cluster; with a nil root, by
// the key that it names itself.
func (f *File) Check(root ed25519.PublicKey) error {
	if err := f.seal.verify(f.manifest, f.Manifest.Cluster, root); err != nil {
		return err
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f.from, 0, f.size-sha256.Size)); err != nil {
		return fmt.Errorf("read backup: %w", err)
	}
	if hex.EncodeToString(h.Sum(nil)) != f.SHA256 {
		return errors.New("the backup is damaged, or was cut short: its hash is not the one at its end")
	}
	return nil
}

// ManifestSHA256 names the backup in the audit log of what is restored from it.
func (f *File) ManifestSHA256() string {
	s := sha256.Sum256(f.manifest)
	return hex.EncodeToString(s[:])
}

// Extract decrypts the backup and makes the state file path of it, which must
// not exist. It checks that the payload belongs to the manifest and has its
// size and hash. Check the file first, and open the state afterwards: see
// Verify. After an error nothing stays behind.
func (f *File) Extract(path string, identities Identities) error {
	plain, err := age.Decrypt(bufio.NewReaderSize(io.NewSectionReader(f.from, f.payload, f.size-f.payload-sha256.Size), 1<<16), identities...)
	var other *age.NoIdentityMatchError
	if errors.As(err, &other) {
		return errors.New("the backup is not encrypted to this identity: use the key file whose public half it was made for")
	}
	if err != nil {
		return fmt.Errorf("decrypt the backup: %w", err)
	}
	unpacked, err := zstd.NewReader(plain, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return fmt.Errorf("unpack the backup: %w", err)
	}
	defer unpacked.Close()
	var bound [sha256.Size]byte
	if _, err := io.ReadFull(unpacked, bound[:]); err != nil {
		return fmt.Errorf("unpack the backup: %w", err)
	}
	if bound != sha256.Sum256(f.manifest) {
		return errors.New("the payload belongs to another manifest: the backup was put together from two")
	}
	part := f.Manifest.Parts[0]
	h := &sum{to: io.Discard, hash: sha256.New()}
	if err := store.LoadDump(path, io.TeeReader(io.LimitReader(unpacked, part.Size+1), h)); err != nil {
		return fmt.Errorf("unpack the backup: %w", err)
	}
	if h.size != part.Size || hex.EncodeToString(h.hash.Sum(nil)) != part.SHA256 {
		return errors.Join(errors.New("the state in the backup does not have the size and hash that its manifest says"), os.Remove(path))
	}
	return nil
}

// Identities are the private halves of recipients.
type Identities []age.Identity

// ReadIdentity reads the age identity file that decrypts backups. It must be
// readable by its owner only.
func ReadIdentity(path string) (Identities, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read the identity: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s may be read by others: `chmod 600 %s`", path, path)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the identity: %w", err)
	}
	ids, err := age.ParseIdentities(bytes.NewReader(raw))
	if err != nil || len(ids) == 0 {
		return nil, fmt.Errorf("%s holds no age identity (AGE-SECRET-KEY-1…)", path) // never what it holds
	}
	return ids, nil
}

// NewIdentity draws a pair: the text of an identity file, and its recipient.
func NewIdentity() (file, recipient string, err error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return "", "", fmt.Errorf("draw a key: %w", err)
	}
	return strings.Join([]string{"# recipient: " + id.Recipient().String(), id.String(), ""}, "\n"), id.Recipient().String(), nil
}

// block reads a length and that many bytes.
func block(r io.Reader, limit uint32) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, errShort
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > limit {
		return nil, errors.New("it is longer than any can be: the backup is damaged")
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, errShort
	}
	return b, nil
}

type counting struct {
	r io.Reader
	n int64
}

func (c *counting) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}
