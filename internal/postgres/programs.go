package postgres

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
)

// NeedVar, when set, makes the absence of PostgreSQL a failure.
const NeedVar = "DOMICILE_NEED_POSTGRES"

// programs finds the folder of the server's programs: that of the first initdb
// on the path, or where Debian puts them.
func programs() (string, error) {
	if at, err := exec.LookPath("initdb"); err == nil {
		if at, err = filepath.EvalSymlinks(at); err == nil {
			return filepath.Dir(at), nil
		}
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", errors.New("no initdb on the path or below /usr/lib/postgresql: install PostgreSQL's server (apt-get install postgresql)")
	}
	slices.Sort(found)
	return filepath.Dir(found[len(found)-1]), nil
}

// need is the programs' folder; without it the test is skipped by name, or fails
// where PostgreSQL must be.
func need(t testing.TB) string {
	t.Helper()
	bin, err := programs()
	switch {
	case err == nil:
	case os.Getenv(NeedVar) != "":
		t.Fatalf("PostgreSQL is missing and %s is set: %v", NeedVar, err)
	default:
		t.Skipf("SKIPPED, PostgreSQL is missing: %v", err)
	}
	return bin
}

// servant gives dir to a user that the server may run as: PostgreSQL refuses to
// run as root.
func servant(dir string) (*syscall.SysProcAttr, error) {
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT} // ends with the test binary, however that ends
	if os.Getuid() != 0 {
		return attr, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return nil, fmt.Errorf("find a user to run PostgreSQL as: %w", err)
		}
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2, os.Chown(dir, uid, gid)); err != nil {
		return nil, err
	}
	attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return attr, nil
}
