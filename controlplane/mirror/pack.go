package mirror

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// packedAt makes archives of the same program the same bytes.
var packedAt = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// Pack writes the archive of a provider's program into a folder. It appears whole
// or not at all.
func Pack(program, dir, version, goos, goarch string) (string, error) {
	name := fmt.Sprintf("terraform-provider-domicile_%s_%s_%s.zip", version, goos, goarch)
	if !archiveName.MatchString(name) {
		return "", fmt.Errorf("%s is not the name of a provider's archive: give a version such as 0.1.0", name)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the folder of the Terraform mirror: %w", err)
	}
	in, err := os.Open(program)
	if err != nil {
		return "", fmt.Errorf("read the provider: %w", err)
	}
	defer in.Close()
	out, err := os.CreateTemp(dir, ".pack-*")
	if err != nil {
		return "", fmt.Errorf("write the provider's archive: %w", err)
	}
	err = errors.Join(pack(out, in, "terraform-provider-domicile_v"+version), out.Chmod(0o644), out.Sync(), out.Close())
	path := filepath.Join(dir, name)
	if err == nil {
		err = os.Rename(out.Name(), path)
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("write the provider's archive: %w", err), os.Remove(out.Name()))
	}
	return path, nil
}

func pack(out io.Writer, in io.Reader, name string) error {
	z := zip.NewWriter(out)
	h := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: packedAt}
	h.SetMode(0o755)
	w, err := z.CreateHeader(h)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, in); err != nil {
		return err
	}
	return z.Close()
}
