package mirror_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/domicile-io/domicile/controlplane/mirror"
)

const base = mirror.Prefix + "registry.terraform.io/domicile-io/domicile/"

func packed(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("a program"), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the same program is the same archive
		if _, err := mirror.Pack(program, dir, "0.1.0", "linux", "amd64"); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func ask(m http.Handler, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	m.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

// That both hashes are the ones that Terraform computes is shown by its init, in
// terraform/provider.
func TestTheMirrorDescribesAndGivesWhatItHas(t *testing.T) {
	dir := packed(t)
	m, err := mirror.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := ask(m, base+"index.json").Body.String(); got != `{"versions":{"0.1.0":{}}}` {
		t.Errorf("index: %s", got)
	}
	var version struct {
		Archives map[string]struct {
			URL    string
			Hashes []string
		}
	}
	if err := json.Unmarshal(ask(m, base+"0.1.0.json").Body.Bytes(), &version); err != nil {
		t.Fatal(err)
	}
	a := version.Archives["linux_amd64"]
	if len(a.Hashes) != 2 || !strings.HasPrefix(a.Hashes[0], "h1:") || !strings.HasPrefix(a.Hashes[1], "zh:") {
		t.Fatalf("archives: %v", version)
	}
	raw, err := os.ReadFile(filepath.Join(dir, a.URL))
	if got := ask(m, base+a.URL); err != nil || got.Code != http.StatusOK || got.Body.String() != string(raw) {
		t.Errorf("the archive: %d, %v", got.Code, err)
	}
	for _, path := range []string{base + "9.9.9.json", base + "../domicile/index.json", mirror.Prefix + "registry.terraform.io/hashicorp/aws/index.json",
		base + "terraform-provider-domicile_0.1.0_plan9_amd64.zip", base, mirror.Prefix} {
		if got := ask(m, path); got.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, got.Code)
		}
	}
}

func TestAFolderThatCannotBeAMirrorStopsTheStart(t *testing.T) {
	empty := t.TempDir()
	broken := t.TempDir()
	if err := os.WriteFile(filepath.Join(broken, "terraform-provider-domicile_0.1.0_linux_amd64.zip"), []byte("no archive"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{empty, broken, filepath.Join(empty, "nowhere")} {
		if _, err := mirror.Open(dir); err == nil {
			t.Errorf("%s became a mirror", dir)
		}
	}
	if _, err := mirror.Pack("x", empty, "v1", "linux", "amd64"); err == nil {
		t.Error("a version that is none was packed")
	}
}
