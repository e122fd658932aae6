package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// postgres is a server of our own, from local binaries, that answers on a socket
// in its folder. Its durability is its default: every commit is synced.
type postgres struct {
	dir    string
	server *exec.Cmd
	pool   *pgxpool.Pool
}

// postgresTable holds what we hold of a call, plaintext, with indexes for the
// same questions: is it there already, what is of a time, what is of a number.
const postgresTable = `
CREATE TABLE calls (
  tenant uuid NOT NULL, native_id text NOT NULL, listed timestamptz NOT NULL,
  from_number text NOT NULL, to_number text NOT NULL, status text NOT NULL, billsec int NOT NULL, payload text NOT NULL);
CREATE UNIQUE INDEX ON calls (tenant, native_id);
CREATE INDEX ON calls (tenant, listed);
CREATE INDEX ON calls (tenant, from_number, listed);
CREATE INDEX ON calls (tenant, to_number, listed);`

// postgresBin finds the folder of the server's programs: beside the first on the
// path, or where Debian puts them.
func postgresBin() (string, error) {
	if at, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(at), nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", errors.New("there is no initdb on the path or below /usr/lib/postgresql; install PostgreSQL's server")
	}
	slices.Sort(found)
	return filepath.Dir(found[len(found)-1]), nil
}

// startPostgres makes a new cluster in dir and starts it. PostgreSQL does not run
// as root; then it is run as the user postgres, or nobody.
func startPostgres(ctx context.Context, dir string) (p *postgres, err error) {
	bin, err := postgresBin()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	as, err := servant(dir)
	if err != nil {
		return nil, err
	}
	init := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", filepath.Join(dir, "data"), "-U", "bench", "-A", "trust", "--no-locale", "-E", "UTF8")
	init.SysProcAttr, init.Dir = as, dir
	if out, err := init.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	server := exec.Command(filepath.Join(bin, "postgres"), "-D", filepath.Join(dir, "data"), "-k", dir, "-h", "",
		"-c", "max_connections=100", "-c", "shared_buffers=512MB", "-c", "max_wal_size=8GB", "-c", "checkpoint_timeout=30min")
	server.SysProcAttr, server.Dir = as, dir
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	server.Stdout, server.Stderr = log, log
	if err := server.Start(); err != nil {
		return nil, err
	}
	p = &postgres{dir: dir, server: server}
	if p.pool, err = pgxpool.New(ctx, "host="+dir+" user=bench dbname=postgres pool_max_conns=80"); err != nil {
		return nil, errors.Join(err, p.close())
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if _, err = p.pool.Exec(ctx, postgresTable); err == nil {
			return p, nil
		}
		if time.Now().After(end) {
			return nil, errors.Join(err, p.close())
		}
	}
}

// servant gives dir to a user that the server may run as.
func servant(dir string) (*syscall.SysProcAttr, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return nil, err
		}
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2, os.Chown(dir, uid, gid)); err != nil {
		return nil, err
	}
	for at := filepath.Dir(dir); at != "/" && at != "."; at = filepath.Dir(at) {
		if info, err := os.Stat(at); err == nil && info.Mode()&0o001 == 0 {
			if err := os.Chmod(at, info.Mode()|0o011); err != nil {
				return nil, err
			}
		}
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
}

func (p *postgres) close() error {
	if p.pool != nil {
		p.pool.Close()
	}
	err := p.server.Process.Signal(syscall.SIGINT) // fast shutdown
	_, waitErr := p.server.Process.Wait()
	return errors.Join(err, waitErr)
}

// folderSize is how many bytes the files below a folder take.
func folderSize(dir string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // what went while we looked
		}
		if info, err := d.Info(); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				size += st.Blocks * 512
			}
		}
		return nil
	})
	return size, err
}
