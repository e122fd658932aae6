package store

import (
	"context"
	"io"
	"regexp"

	"github.com/domicile-io/domicile/policy"
)

// BlobInfo is what a blob store tells of a blob.
type BlobInfo struct {
	Name string
	Size int64  // bytes
	Tag  string // of a bucket: changes with the bytes; "" in a folder
}

// Blobs keeps large byte strings of one region. What is put in is sealed
// already: a blob store sees ciphertext and names, and a name is of random ids
// only. dataplane/local keeps blobs in a folder, dataplane/aws in S3. All
// methods are safe for concurrent use.
type Blobs interface {
	// Create stores everything that r yields under a new name. When it answers, the
	// blob is durable and whole; before, nobody sees any of it, and after an error
	// (also r's) there is none. ALREADY_EXISTS when the name is taken: a blob is
	// never changed.
	Create(ctx context.Context, name string, r io.Reader) (BlobInfo, error)
	// Open reads length bytes from offset on (length < 0: to the end). NOT_FOUND
	// when there is no such blob. Reading past the end is an error of the reader
	// or of Open.
	Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error)
	// Stat tells a blob's size; NOT_FOUND when there is none.
	Stat(ctx context.Context, name string) (BlobInfo, error)
	// Delete removes a blob, durably; one that is not there is no error.
	Delete(ctx context.Context, name string) error
	// List gives at most limit (≤ MaxPageSize) blobs whose names begin with prefix
	// (whole segments: "" or ending in "/") and come after the name after, in order
	// of bytes.
	List(ctx context.Context, prefix, after string, limit int) ([]BlobInfo, error)
	// Healthy reports why blobs cannot be kept here, else nil.
	Healthy() error
	Close() error
}

// MaxBlobName bounds a name.
const MaxBlobName = 200

var (
	blobName   = regexp.MustCompile(`^[A-Za-z0-9]+(/[A-Za-z0-9]+){0,7}$`)
	blobPrefix = regexp.MustCompile(`^([A-Za-z0-9]+/){0,8}$`)
)

// CheckBlobName is nil for a name that every blob store takes: one to eight
// segments of letters and digits.
func CheckBlobName(name string) error {
	if len(name) <= MaxBlobName && blobName.MatchString(name) {
		return nil
	}
	return policy.Errorf(policy.Internal, "a blob's name must be one to eight segments of letters and digits")
}

// CheckBlobList is nil for what List takes.
func CheckBlobList(prefix string, limit int) error {
	if len(prefix) <= MaxBlobName && blobPrefix.MatchString(prefix) && limit > 0 && limit <= MaxPageSize {
		return nil
	}
	return policy.Errorf(policy.Internal, "blobs are listed by whole segments, %d at most at once", MaxPageSize)
}

// ErrNoBlob is the refusal of a name under which there is nothing.
func ErrNoBlob() *policy.Error {
	return policy.Errorf(policy.NotFound, "there is no such blob")
}

// ErrBlobExists is the refusal of a name that is taken.
func ErrBlobExists() *policy.Error {
	return policy.Errorf(policy.AlreadyExists, "there is a blob of this name, and blobs are never changed")
}
