// Package mirror serves the Terraform provider to `terraform init` by the
// provider network mirror protocol
// (https://developer.hashicorp.com/terraform/internals/provider-network-mirror-protocol),
// so that nobody needs a registry. It serves the archives of one folder, under the
// hashes that it computed when it was opened, and nothing else: whoever changes a
// file afterwards makes init fail.
//
// It needs no credential, because init has none, and holds nothing but a public
// program.
package mirror

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Prefix is the path of the mirror; a configuration names it with the host and a
// slash at the end.
const Prefix = "/terraform/"

// provider is the only one that the mirror has.
const provider = "registry.terraform.io/domicile-io/domicile/"

// Limits.
const (
	maxArchives = 64
	maxArchive  = 128 << 20 // bytes
	maxUnpacked = 512 << 20 // bytes of one archive's contents
	maxAtOnce   = 8         // downloads; more answer 503
	sendLimit   = 5 * time.Minute
)

// archiveName is what a release's archive is called.
var archiveName = regexp.MustCompile(`^terraform-provider-domicile_([0-9]+\.[0-9]+\.[0-9]+(?:-[0-9a-z.]+)?)_([a-z0-9]+_[a-z0-9]+)\.zip$`)

// Mirror is an http.Handler for the paths below Prefix.
type Mirror struct {
	dir     string
	answers map[string][]byte // JSON documents by path below provider
	files   map[string]bool
	slots   chan struct{}
}

type archive struct {
	URL    string   `json:"url"`
	Hashes []string `json:"hashes"`
}

// Open reads and hashes the archives of a folder. An archive that cannot be read,
// or a folder without any, is an error: an operator who configured a mirror wants
// to know at the start.
func Open(dir string) (*Mirror, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read the folder of the Terraform mirror: %w", err)
	}
	m := &Mirror{dir: dir, answers: map[string][]byte{}, files: map[string]bool{}, slots: make(chan struct{}, maxAtOnce)}
	versions := map[string]map[string]archive{}
	for _, e := range entries {
		match := archiveName.FindStringSubmatch(e.Name())
		if match == nil {
			continue
		}
		if len(m.files) == maxArchives {
			return nil, fmt.Errorf("the folder of the Terraform mirror holds more than %d archives: remove old ones", maxArchives)
		}
		hashes, err := hashesOf(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("archive %s of the Terraform mirror: %w", e.Name(), err)
		}
		if versions[match[1]] == nil {
			versions[match[1]] = map[string]archive{}
		}
		versions[match[1]][match[2]] = archive{URL: e.Name(), Hashes: hashes}
		m.files[e.Name()] = true
	}
	if len(m.files) == 0 {
		return nil, fmt.Errorf("the folder of the Terraform mirror holds no terraform-provider-domicile_VERSION_OS_ARCH.zip: put a release's there")
	}
	return m, m.describe(versions)
}

// describe writes the documents once.
func (m *Mirror) describe(versions map[string]map[string]archive) error {
	index := map[string]map[string]struct{}{"versions": {}}
	for version, archives := range versions {
		index["versions"][version] = struct{}{}
		b, err := json.Marshal(map[string]any{"archives": archives})
		if err != nil {
			return err
		}
		m.answers[version+".json"] = b
	}
	b, err := json.Marshal(index)
	m.answers["index.json"] = b
	return err
}

// ServeHTTP implements http.Handler.
func (m *Mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, ours := strings.CutPrefix(r.URL.Path, Prefix+provider)
	switch {
	case !ours:
		http.NotFound(w, r)
	case m.answers[name] != nil:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(m.answers[name])
	case m.files[name]:
		m.send(w, r, name)
	default:
		http.NotFound(w, r)
	}
}

// send gives one archive, which may take longer than an answer of the API.
func (m *Mirror) send(w http.ResponseWriter, r *http.Request, name string) {
	select {
	case m.slots <- struct{}{}:
		defer func() { <-m.slots }()
	default:
		w.Header().Set("Retry-After", "5")
		http.Error(w, "too many downloads at once; retry", http.StatusServiceUnavailable)
		return
	}
	f, err := os.Open(filepath.Join(m.dir, name))
	if err != nil {
		http.Error(w, "the archive is gone", http.StatusInternalServerError)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		http.Error(w, "the archive is gone", http.StatusInternalServerError)
		return
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(sendLimit)) // without one, the listener's counts
	w.Header().Set("Content-Type", "application/zip")
	http.ServeContent(w, r, "", info.ModTime(), f)
}

// hashesOf gives both forms in which Terraform's lock file knows an archive: zh is
// of the file, h1 of what is in it.
func hashesOf(file string) ([]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	whole := sha256.New()
	n, err := io.Copy(whole, io.LimitReader(f, maxArchive+1))
	if err != nil {
		return nil, err
	}
	if n > maxArchive {
		return nil, fmt.Errorf("is larger than %d MiB", maxArchive>>20)
	}
	z, err := zip.NewReader(f, n)
	if err != nil {
		return nil, err
	}
	contents, err := hash1(z)
	if err != nil {
		return nil, err
	}
	return []string{contents, "zh:" + hex.EncodeToString(whole.Sum(nil))}, nil
}

// hash1 is the hash of a directory that Go modules use and Terraform took over.
func hash1(z *zip.Reader) (string, error) {
	var lines []string
	left := int64(maxUnpacked)
	for _, f := range z.File {
		if strings.HasSuffix(f.Name, "/") || strings.Contains(f.Name, "\n") || !filepath.IsLocal(f.Name) {
			return "", errors.New("holds a name that an archive of a provider does not have")
		}
		r, err := f.Open()
		if err != nil {
			return "", err
		}
		h := sha256.New()
		n, err := io.Copy(h, io.LimitReader(r, left+1))
		if err = errors.Join(err, r.Close()); err != nil {
			return "", err
		}
		if left -= n; left < 0 {
			return "", fmt.Errorf("unpacks to more than %d MiB", maxUnpacked>>20)
		}
		lines = append(lines, fmt.Sprintf("%s\x00%x  %s\n", f.Name, h.Sum(nil), f.Name))
	}
	slices.Sort(lines)
	sum := sha256.New()
	for _, l := range lines {
		_, line, _ := strings.Cut(l, "\x00")
		_, _ = io.WriteString(sum, line)
	}
	return "h1:" + base64.StdEncoding.EncodeToString(sum.Sum(nil)), nil
}
