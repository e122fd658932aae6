package packages_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// descriptor and manifest are what the OCI image specification calls so.
type descriptor struct {
	MediaType, Digest string
	Platform          *struct{ OS, Architecture string }
}

type manifest struct {
	MediaType string
	Manifests []descriptor
	Config    descriptor
	Layers    []descriptor
	Subject   *descriptor
}

// layout is an OCI layout in a tar file, in memory.
type layout map[string][]byte

func openLayout(t *testing.T, path string) layout {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l := layout{}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return l
		} else if err != nil {
			t.Fatal(err)
		}
		if l[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

func (l layout) decode(t *testing.T, name string, into any) {
	t.Helper()
	if b, ok := l[name]; !ok {
		t.Fatalf("the layout has no %s", name)
	} else if err := json.Unmarshal(b, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func blob(digest string) string { return "blobs/" + strings.Replace(digest, ":", "/", 1) }

// unpack writes the layers of this machine's image below root and gives its configuration.
func (l layout) unpack(t *testing.T, root string) (config struct {
	Config struct {
		User       string
		Entrypoint []string
		Labels     map[string]string
	}
}) {
	t.Helper()
	var top, index, image manifest
	l.decode(t, "index.json", &top)
	l.decode(t, blob(top.Manifests[0].Digest), &index)
	for _, m := range index.Manifests {
		if m.Platform != nil && m.Platform.OS == "linux" && m.Platform.Architecture == runtime.GOARCH {
			l.decode(t, blob(m.Digest), &image)
		}
	}
	if len(image.Layers) == 0 {
		t.Fatalf("no image for %s among %d", runtime.GOARCH, len(index.Manifests))
	}
	l.decode(t, blob(image.Config.Digest), &config)
	for _, layer := range image.Layers {
		z, err := gzip.NewReader(bytes.NewReader(l[blob(layer.Digest)]))
		if err != nil {
			t.Fatal(err)
		}
		for r := tar.NewReader(z); ; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			if to := filepath.Join(root, h.Name); h.Typeflag == tar.TypeDir {
				if err := os.MkdirAll(to, 0o755); err != nil {
					t.Fatal(err)
				}
			} else {
				write(t, to, string(b), h.FileInfo().Mode().Perm())
			}
		}
	}
	return config
}

// TestImages runs each server out of nothing but its image: a root of its layers,
// read-only, as the image's user, without any capability, with the configuration,
// certificates and data folder that a container would be given.
func TestImages(t *testing.T) {
	needProgram(t, "unshare")
	needProgram(t, "setpriv")
	need(t, "root", os.Geteuid() == 0)
	sys := newSystem(t)
	for _, part := range []string{"controlplane", "dataplane"} {
		t.Run(part, func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "root")
			config := openLayout(t, artifact(t, "domicile-"+part+"_*.oci.tar")).unpack(t, root)
			if config.Config.User != "65532:65532" || len(config.Config.Entrypoint) != 1 || config.Config.Labels["org.opencontainers.image.revision"] == "" {
				t.Errorf("the image's configuration: %+v", config.Config)
			}
			for _, shell := range []string{"bin/sh", "usr/bin/sh", "bin/bash", "bin/busybox"} {
				if _, err := os.Lstat(filepath.Join(root, shell)); err == nil {
					t.Errorf("the image has %s", shell)
				}
			}
			programs, err := os.ReadDir(filepath.Join(root, "usr", "bin"))
			if err != nil || len(programs) != 1 {
				t.Errorf("the image has %d programs (%v), want the one", len(programs), err)
			}
			sys.runs(t, root, config.Config.Entrypoint[0], part)
		})
	}
}
