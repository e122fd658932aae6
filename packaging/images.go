package main

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// nobody is the user of every image. Volumes belong to it; it has no name on hosts.
const nobody = 65532

const billType types.MediaType = "application/vnd.cyclonedx+json"

// images hold one program each: a control plane's cannot name a call record.
var images = map[string]string{
	controlPlane: "One voter of Domicile's policy store",
	dataPlane:    "One node of one region of Domicile",
	commandLine:  "Domicile's command line",
}

func (r *Release) buildImages(context.Context) error {
	for name, title := range images {
		if err := r.image(name, title); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// image writes one OCI layout with every architecture, as a tar file that crane,
// skopeo, podman and containerd read.
func (r *Release) image(name, title string) error {
	dir, err := os.MkdirTemp("", "domicile-image")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	labels := map[string]string{
		"org.opencontainers.image.title": name, "org.opencontainers.image.description": title,
		"org.opencontainers.image.version": r.Version, "org.opencontainers.image.revision": r.Commit,
		"org.opencontainers.image.created": r.Date.Format(time.RFC3339), "org.opencontainers.image.licenses": "Apache-2.0",
		"org.opencontainers.image.source": "https://github.com/domicile-io/domicile", "org.opencontainers.image.vendor": "Domicile",
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	var attached []mutate.IndexAddendum
	for _, p := range r.servers() {
		img, err := r.imageFor(name, p, labels)
		if err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: p.os, Architecture: p.arch}}})
		if list, err := os.ReadFile(bill(r.program(name, p))); err == nil {
			add, err := billOf(img, list)
			if err != nil {
				return err
			}
			attached = append(attached, add)
		}
	}
	index = mutate.Annotations(index, labels).(v1.ImageIndex)
	path, err := layout.Write(dir, mutate.IndexMediaType(empty.Index, types.OCIImageIndex))
	if err != nil {
		return err
	}
	if err := path.AppendIndex(index, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": r.Version})); err != nil {
		return err
	}
	for _, a := range attached {
		if err := path.AppendImage(a.Add.(v1.Image)); err != nil {
			return err
		}
	}
	return r.pour(dir, filepath.Join(r.Out, name+"_"+r.Version+".oci.tar"))
}

func (r *Release) imageFor(name string, p platform, labels map[string]string) (v1.Image, error) {
	content, err := os.ReadFile(r.program(name, p))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := tarOf(&b, r.Date, append(system(), entry{"usr/bin/" + name, content, 0o755})); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil },
		tarball.WithMediaType(types.OCILayer), tarball.WithCompressionLevel(r.level()))
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err = mutate.Append(img, mutate.Addendum{Layer: layer, MediaType: types.OCILayer,
		History: v1.History{Created: v1.Time{Time: r.Date}, CreatedBy: "packaging", Comment: name + " " + r.Version}})
	if err != nil {
		return nil, err
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Created = p.os, p.arch, v1.Time{Time: r.Date}
	file.Config = v1.Config{User: fmt.Sprintf("%d:%d", nobody, nobody), Entrypoint: []string{"/usr/bin/" + name}, WorkingDir: "/",
		Labels: labels, Env: []string{"PATH=/usr/bin", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"}}
	if img, err = mutate.ConfigFile(img, file); err != nil {
		return nil, err
	}
	return mutate.Annotations(img, labels).(v1.Image), nil
}

// system is what a static program looks for: names of users, and public
// authorities for those endpoints of a cloud that no configuration names an
// authority of. There is no shell and nothing else to run.
func system() []entry {
	var roots bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil { // what a PEM file cannot say, it must not promise
			_ = pem.Encode(&roots, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate})
		}
	}
	return []entry{
		{"etc/", nil, 0o755}, {"etc/ssl/", nil, 0o755}, {"etc/ssl/certs/", nil, 0o755}, {"etc/domicile/", nil, 0o755},
		{"tmp/", nil, 0o1777}, {"usr/", nil, 0o755}, {"usr/bin/", nil, 0o755}, {"var/", nil, 0o755}, {"var/lib/", nil, 0o755},
		{"etc/passwd", fmt.Appendf(nil, "root:x:0:0:root:/:/sbin/nologin\ndomicile:x:%d:%d:domicile:/:/sbin/nologin\n", nobody, nobody), 0o644},
		{"etc/group", fmt.Appendf(nil, "root:x:0:\ndomicile:x:%d:\n", nobody), 0o644},
		{"etc/ssl/certs/ca-certificates.crt", roots.Bytes(), 0o644},
	}
}

// billOf is a manifest whose subject is the image: how OCI 1.1 attaches a bill of
// materials, and registries and scanners find it (the referrers API).
func billOf(img v1.Image, list []byte) (mutate.IndexAddendum, error) {
	subject, err := partial.Descriptor(img)
	if err != nil {
		return mutate.IndexAddendum{}, err
	}
	a := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	a = mutate.ConfigMediaType(a, billType)
	if a, err = mutate.AppendLayers(a, static.NewLayer(list, billType)); err != nil {
		return mutate.IndexAddendum{}, err
	}
	return mutate.IndexAddendum{Add: mutate.Subject(a, *subject).(v1.Image)}, nil
}

// pour writes a folder into a tar file.
func (r *Release) pour(dir, to string) error {
	var entries []entry
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		entries = append(entries, entry{filepath.ToSlash(name), content, 0o644})
		return err
	})
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := tarOf(&b, r.Date, entries); err != nil {
		return err
	}
	return writeFile(to, b.Bytes())
}
