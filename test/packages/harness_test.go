package packages_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// need skips a test that lacks something, or fails it where it must run.
func need(t *testing.T, what string, there bool) {
	t.Helper()
	if there {
		return
	}
	if os.Getenv("DOMICILE_NEED_PACKAGES") != "" {
		t.Fatalf("%s is missing, and DOMICILE_NEED_PACKAGES demands it", what)
	}
	t.Skipf("SKIPPED: %s is missing: packages are not installed here", what)
}

func needProgram(t *testing.T, name string) {
	t.Helper()
	_, err := exec.LookPath(name)
	need(t, "the program "+name, err == nil)
}

// artifact is the only file of the release that matches a pattern.
func artifact(t *testing.T, pattern string) string {
	t.Helper()
	dir := os.Getenv("DOMICILE_PACKAGES")
	need(t, "DOMICILE_PACKAGES (make packages-short)", dir != "")
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s has %d files like %s (%v), want one", dir, len(found), pattern, err)
	}
	return found[0]
}

// command runs to its end and gives what it printed.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// source is this checkout.
func source(t *testing.T, path ...string) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join(append([]string{"..", ".."}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSpace(b))
}

func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
}
