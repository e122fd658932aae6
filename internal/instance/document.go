package instance

import (
	"bytes"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/smallstep/pkcs7"
)

// MaxBytes of a document in DER; those of AWS take about 1.5 KiB.
const MaxBytes = 16 << 10

// maxAhead is how far in the future a machine may have been started: clocks are
// within a second of each other, as everywhere.
const maxAhead = 5 * time.Second

// cloudPrefix is how a region of ours names one of AWS.
const cloudPrefix = "aws-"

// Cause is why a document does not count, of a closed list.
type Cause string

// The causes.
const (
	Unconfigured Cause = "DOCUMENT_UNCONFIGURED" // no certificates for that region of the cloud
	Malformed    Cause = "DOCUMENT_MALFORMED"
	BadSignature Cause = "DOCUMENT_SIGNATURE" // not signed by a configured certificate of that region
	WrongRegion  Cause = "DOCUMENT_REGION"    // the machine stands in another region of the cloud
	WrongAccount Cause = "DOCUMENT_ACCOUNT"   // of an account that is not allowed
	FutureStart  Cause = "DOCUMENT_TIME"
)

// Refusal is the error of a document that does not count.
type Refusal struct {
	Cause Cause
	err   error
}

func (r *Refusal) Error() string { return string(r.Cause) + ": " + r.err.Error() }

func (r *Refusal) Unwrap() error { return r.err }

func refuse(c Cause, format string, args ...any) error {
	return &Refusal{Cause: c, err: fmt.Errorf(format, args...)}
}

// CauseOf gives the cause of a refusal; Malformed for any other error.
func CauseOf(err error) Cause {
	var r *Refusal
	if errors.As(err, &r) {
		return r.Cause
	}
	return Malformed
}

// Document is what the cloud says, as far as we look at it.
type Document struct {
	Instance string    `json:"instanceId"`
	Account  string    `json:"accountId"`
	Region   string    `json:"region"`
	Pending  time.Time `json:"pendingTime"` // when the machine was started
}

// digests that a signature may be made over.
var digests = []asn1.ObjectIdentifier{pkcs7.OIDDigestAlgorithmSHA256, pkcs7.OIDDigestAlgorithmSHA384, pkcs7.OIDDigestAlgorithmSHA512}

// Verify checks a document, in DER, for a node of a region whose cloud is
// named so (aws-eu-west-1). Every error is a *Refusal. Certificates inside the
// document are ignored: only configured ones count, and only those of the
// region that the node must stand in.
func (a *Authorities) Verify(der []byte, cloud string, now time.Time) (Document, error) {
	region, aws := strings.CutPrefix(cloud, cloudPrefix)
	if a == nil || !aws || len(a.certificates[region]) == 0 {
		return Document{}, refuse(Unconfigured, "no certificates are configured for documents of %s", cloud)
	}
	if len(der) > MaxBytes {
		return Document{}, refuse(Malformed, "the document is %d bytes, more than %d", len(der), MaxBytes)
	}
	p, err := pkcs7.Parse(der)
	if err != nil {
		return Document{}, refuse(Malformed, "the document is not PKCS #7: %w", err)
	}
	if len(p.Signers) != 1 || len(p.Content) == 0 || !strongDigest(p) {
		return Document{}, refuse(Malformed, "the document must hold its content and one signature, over SHA-256 or better")
	}
	p.Certificates = nil
	for _, c := range a.certificates[region] {
		if now.After(c.NotBefore) && now.Before(c.NotAfter) {
			p.Certificates = append(p.Certificates, c)
		}
	}
	if err := p.Verify(); err != nil {
		return Document{}, refuse(BadSignature, "the document is not signed by a configured certificate of %s: %w", cloud, err)
	}
	return a.judge(p.Content, region, now)
}

func strongDigest(p *pkcs7.PKCS7) bool {
	for _, d := range digests {
		if p.Signers[0].DigestAlgorithm.Algorithm.Equal(d) {
			return true
		}
	}
	return false
}

// judge looks at what the cloud has signed. It may say more than we know.
func (a *Authorities) judge(content []byte, region string, now time.Time) (d Document, err error) {
	if err := json.Unmarshal(content, &d); err != nil {
		return Document{}, refuse(Malformed, "the document is not the cloud's JSON: %w", err)
	}
	switch {
	case !instancePattern.MatchString(d.Instance) || d.Pending.IsZero():
		return Document{}, refuse(Malformed, "the document names no instance, or not when it was started")
	case d.Region != region:
		return Document{}, refuse(WrongRegion, "the machine stands in another region of the cloud than the node's region says")
	case !a.accounts[d.Account]:
		return Document{}, refuse(WrongAccount, "the machine is of an account that is not configured")
	case d.Pending.After(now.Add(maxAhead)):
		return Document{}, refuse(FutureStart, "the machine was started in the future: one of the clocks is wrong")
	}
	return d, nil
}

// Read reads a file that holds a document as the metadata service gives it
// (base64, without PEM's first and last line), as PEM, or in DER.
func Read(path string) ([]byte, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the instance document: %w", err)
	}
	if block, _ := pem.Decode(raw); block != nil {
		raw = block.Bytes
	} else if der, err := base64.StdEncoding.DecodeString(string(bytes.Join(bytes.Fields(raw), nil))); err == nil && len(der) > 0 {
		raw = der
	}
	if len(raw) == 0 || len(raw) > MaxBytes {
		return nil, fmt.Errorf("read the instance document: %s is %d bytes, want 1 to %d", path, len(raw), MaxBytes)
	}
	return raw, nil
}
