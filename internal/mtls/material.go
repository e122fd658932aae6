package mtls

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	lookEvery = time.Second     // how often handshakes look at the files, at most
	settled   = 2 * time.Second // a file that changed later than this ago may change again within the same time stamp
)

// Files names PEM files.
type Files struct {
	Certificate string `yaml:"certificate"` // the leaf, then intermediates
	Key         string `yaml:"key"`         // of the leaf
	CA          string `yaml:"ca"`          // every authority that peers may be signed by; two during a rotation
}

// Material is a certificate, its key, and the authorities that sign peers. It
// follows its files: every configuration that it made shows, from the next
// handshake on and at most a second late, what the files hold then. Files that do not
// belong together, an expired certificate, or one of another identity change
// nothing: the last good ones stay, and Problem says why.
//
// Replace each file by renaming a new one over it. The order does not matter.
type Material struct {
	Identity Identity // never changes while the process lives

	files   Files
	current atomic.Pointer[version]

	mu      sync.Mutex // held by the one handshake that looks
	every   time.Duration
	looked  time.Time
	seen    stamps
	problem atomic.Pointer[problem]
	log     atomic.Pointer[slog.Logger]
}

// version is what the files held at one moment; immutable.
type version struct {
	leaf     tls.Certificate
	roots    *x509.CertPool
	identity Identity
	content  [sha256.Size]byte
}

type problem struct {
	err    error
	logged bool
}

// stamps tell, without reading, that files are the same as before.
type stamps [3]struct {
	size  int64
	mtime time.Time
	file  os.FileInfo
}

// Load reads PEM files. Every error names the file.
func Load(f Files) (*Material, error) {
	m := &Material{files: f, every: lookEvery, looked: time.Now()}
	var err error
	if m.seen, err = f.stat(); err != nil {
		return nil, err
	}
	v, err := f.read()
	if err != nil {
		return nil, err
	}
	m.Identity = v.identity
	m.current.Store(v)
	return m, nil
}

// LogTo says where reloads are reported; slog.Default until then.
func (m *Material) LogTo(l *slog.Logger) { m.log.Store(l) }

// Certificate is the chain and key shown to peers now.
func (m *Material) Certificate() tls.Certificate { return m.latest().leaf }

// Roots are the authorities trusted now.
func (m *Material) Roots() *x509.CertPool { return m.latest().roots }

// Expires is when the certificate shown now ends.
func (m *Material) Expires() time.Time { return m.latest().leaf.Leaf.NotAfter }

// Problem is why the files on disk are not in use; nil when they are.
func (m *Material) Problem() error {
	m.latest()
	if p := m.problem.Load(); p != nil {
		return p.err
	}
	return nil
}

// latest looks at the files if that was not done lately. One handshake looks;
// those beside it go on with what there is, so that a slow disk holds up one.
func (m *Material) latest() *version {
	if m.mu.TryLock() {
		if now := time.Now(); now.Sub(m.looked) >= m.every {
			m.looked = now
			m.look(now)
		}
		m.mu.Unlock()
	}
	return m.current.Load()
}

func (m *Material) look(now time.Time) {
	seen, err := m.files.stat()
	if err == nil && m.problem.Load() == nil && seen.same(m.seen) && seen.settled(now) {
		return
	}
	var v *version
	if err == nil {
		v, err = m.files.read()
	}
	if err == nil && v.identity != m.Identity {
		err = fmt.Errorf("certificate %s is of %s, but this process is %s; put back a certificate of the same identity, or restart the process to become the other one",
			m.files.Certificate, v.identity.URI(), m.Identity.URI())
	}
	if err != nil {
		m.failed(err)
		return
	}
	m.seen = seen
	m.problem.Store(nil)
	if v.content == m.current.Load().content {
		return
	}
	m.current.Store(v)
	m.logger().Info("certificate files reloaded", "certificate", m.files.Certificate, "serial", v.leaf.Leaf.SerialNumber.Text(16), "expires", v.leaf.Leaf.NotAfter)
}

// failed keeps what there is. It is said the second time, because between the
// replacement of the key and that of the certificate the two do not match.
func (m *Material) failed(err error) {
	before := m.problem.Load()
	p := &problem{err: err}
	if before != nil && before.err.Error() == err.Error() {
		p.logged = true
		if !before.logged {
			m.logger().Error("certificate files are not usable; the last good ones stay in use", "certificate", m.files.Certificate, "cause", err.Error(),
				"expires", m.current.Load().leaf.Leaf.NotAfter)
		}
	}
	m.problem.Store(p)
}

func (m *Material) logger() *slog.Logger {
	if l := m.log.Load(); l != nil {
		return l
	}
	return slog.Default()
}

func (f Files) stat() (s stamps, err error) {
	for i, path := range []string{f.Certificate, f.Key, f.CA} {
		info, err := os.Stat(path)
		if err != nil {
			return s, fmt.Errorf("look at %s: %w; correct the path, or issue the file with `domicile pki issue`", path, err)
		}
		s[i].size, s[i].mtime, s[i].file = info.Size(), info.ModTime(), info
	}
	return s, nil
}

func (s stamps) same(o stamps) bool {
	for i := range s {
		if s[i].size != o[i].size || !s[i].mtime.Equal(o[i].mtime) || !os.SameFile(s[i].file, o[i].file) {
			return false
		}
	}
	return true
}

func (s stamps) settled(now time.Time) bool {
	for i := range s {
		if now.Sub(s[i].mtime) < settled {
			return false
		}
	}
	return true
}

// read gives what the files hold, if it belongs together.
func (f Files) read() (*version, error) {
	certPEM, err := os.ReadFile(f.Certificate)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	keyPEM, err := os.ReadFile(f.Key)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("load certificate %s with key %s: %w", f.Certificate, f.Key, err)
	}
	v := &version{leaf: cert}
	if v.identity, err = Of(cert.Leaf); err != nil {
		return nil, fmt.Errorf("certificate %s: %w", f.Certificate, err)
	}
	caPEM, err := os.ReadFile(f.CA)
	if err != nil {
		return nil, fmt.Errorf("read authority: %w", err)
	}
	v.roots = x509.NewCertPool()
	if !v.roots.AppendCertsFromPEM(caPEM) {
		return nil, fmt.Errorf("authority %s holds no PEM certificate", f.CA)
	}
	if err := v.usable(f); err != nil {
		return nil, err
	}
	h := sha256.New()
	for _, part := range [][]byte{certPEM, keyPEM, caPEM} {
		fmt.Fprintf(h, "%d\n%s", len(part), part)
	}
	v.content = [sha256.Size]byte(h.Sum(nil))
	return v, nil
}

// usable asks our own authorities about our own certificate, as every peer
// will: one that only we believe in would cut us off.
func (v *version) usable(f Files) error {
	opts := x509.VerifyOptions{Roots: v.roots, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	for _, der := range v.leaf.Certificate[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("parse intermediate in %s: %w", f.Certificate, err)
		}
		opts.Intermediates.AddCert(c)
	}
	_, err := v.leaf.Leaf.Verify(opts)
	var invalid x509.CertificateInvalidError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("certificate %s is valid from %s to %s, not now; renew it with `domicile pki rotate`, or correct the clock",
			f.Certificate, v.leaf.Leaf.NotBefore.UTC().Format(time.RFC3339), v.leaf.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return fmt.Errorf("certificate %s is not signed by an authority in %s: %w; a bundle must hold the authority of every node, of this one too", f.Certificate, f.CA, err)
}

// LoadRoots reads a PEM bundle of authorities.
func LoadRoots(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read authority: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("authority %s holds no PEM certificate", path)
	}
	return roots, nil
}
