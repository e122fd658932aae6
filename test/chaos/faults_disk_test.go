package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/domicile-io/domicile/internal/chaos"
)

var diskFaults = []fault{
	{kind: "slow fsync", absent: needsStrace, run: slowDisk},
	{kind: "failing fsync", absent: needsStrace, run: failDisk},
	{kind: "disk full", absent: needsVolume, run: fillDisk},
	{kind: "flipped bytes at rest", run: func(n *nemesis) (string, error) { return n.damage("state.db", n.flip) }},
	{kind: "torn file at rest", run: func(n *nemesis) (string, error) { return n.damage("state.db", n.tear) }},
}

func needsStrace(*world) string {
	if !chaos.HasStrace() {
		return "strace is not installed (Debian: apt-get install strace)"
	}
	if os.Geteuid() != 0 {
		return "strace needs root to attach to a process that it did not start"
	}
	return ""
}

func needsVolume(w *world) string {
	if w.volume == nil {
		return "it needs root, loop devices and mkfs.ext4 for a small filesystem of its own"
	}
	return ""
}

func slowDisk(n *nemesis) (string, error) {
	v, err := n.target()
	if err != nil {
		return "", err
	}
	late := 20 + n.draw.IntN(200)
	s, err := chaos.Inject(n.ctx, n.w.Process(v).PID(), chaos.Injection(fmt.Sprintf("delay_enter=%d", late*1000)), filepath.Join(n.w.dir, "strace.out"))
	if err != nil {
		return "", err
	}
	n.hold(800*time.Millisecond, 2*time.Second)
	err = s.End()
	count, err2 := s.Count()
	if err := errors.Join(err, err2); err != nil || count == 0 {
		return "", err
	}
	return fmt.Sprintf("%d syncs of %s took %d ms longer", count, v, late), nil
}

// failDisk fails one sync: the voter must end, and be whole when it is started again.
func failDisk(n *nemesis) (string, error) {
	v, err := n.target()
	if err != nil {
		return "", err
	}
	s, err := chaos.Inject(n.ctx, n.w.Process(v).PID(), "error=EIO", filepath.Join(n.w.dir, "strace.out"))
	if err != nil {
		return "", err
	}
	how, err := n.endsItself(v)
	if err := errors.Join(err, s.End()); err != nil {
		return "", err
	}
	count, err := s.Count()
	if err != nil || count == 0 {
		return "", err
	}
	return fmt.Sprintf("%d syncs failed and %s ended: %v", count, v, how), n.start(v)
}

// endsItself waits for a voter to give up, which it must within 15 s. Load goes on,
// so that it writes.
func (n *nemesis) endsItself(v string) (how error, err error) {
	ctx, cancel := context.WithTimeout(n.ctx, 15*time.Second)
	defer cancel()
	how, err = n.w.Process(v).WaitEnd(ctx)
	if err == nil && how == nil {
		err = fmt.Errorf("%s ended with code 0, as if nothing were wrong", v)
	}
	if err != nil && how == nil && n.w.Process(v).Running() {
		err = errors.Join(fmt.Errorf("INV34: a voter whose disk fails must end: %w", err), n.w.Process(v).Kill(), n.start(v))
	}
	return how, err
}

// fillDisk leaves cp3 no free block. That it met the full disk stands in its log. It
// ends as soon as its state or its Raft log must grow; until then it goes on, and only
// cannot take snapshots.
func fillDisk(n *nemesis) (string, error) {
	log := n.w.Process("cp3").Log()
	before, err := os.ReadFile(log)
	if err != nil {
		return "", err
	}
	if err := n.w.volume.Fill(); err != nil {
		return "", errors.Join(err, n.w.volume.Free())
	}
	ctx, cancel := context.WithTimeout(n.ctx, 6*time.Second)
	defer cancel()
	how, goesOn := n.w.Process("cp3").WaitEnd(ctx)
	if err := n.w.volume.Free(); err != nil {
		return "", err
	}
	if goesOn == nil {
		if err := n.start("cp3"); err != nil {
			return "", err
		}
	}
	after, err := os.ReadFile(log)
	met := bytes.Count(after[len(before):], []byte("no space left on device"))
	switch {
	case err != nil || met == 0:
		return "", err
	case goesOn != nil:
		return fmt.Sprintf("cp3 met the full disk %d times and went on in the room that its files had", met), nil
	}
	return fmt.Sprintf("cp3 met the full disk %d times and ended: %v", met, how), nil
}

func (n *nemesis) flip(path string) (string, error) {
	at, err := chaos.Flip(path, 1+n.draw.IntN(8), 0, n.draw)
	return fmt.Sprintf("bits at %v", at), err
}

func (n *nemesis) tear(path string) (string, error) {
	at, err := chaos.Truncate(path, n.draw)
	return fmt.Sprintf("cut at %d", at), err
}

// damage changes a file of a stopped voter and starts it where nobody hears it.
// It must refuse to start, or be right in all that it says: so what it holds is compared
// with what it held. Then the file is put back, which is safe because the damaged
// voter has promised nothing to anybody.
func (n *nemesis) damage(file string, how func(path string) (string, error)) (string, error) {
	v, err := n.follower()
	if err != nil {
		return "", err
	}
	p := n.w.Process(v)
	// Not killed: it would start with what it had applied, which is more than its file
	// holds (docs/adr/0081).
	if err := p.Stop(); err != nil {
		return "", err
	}
	kept := filepath.Join(n.w.dir, "kept")
	if err := errors.Join(os.RemoveAll(kept), chaos.Copy(n.w.data[v], kept)); err != nil {
		return "", err
	}
	before, err := hashOf(n.w.data[v])
	if err != nil {
		return "", fmt.Errorf("the state of a stopped voter cannot be read: %w", err)
	}
	what, err := how(filepath.Join(n.w.data[v], file))
	if err != nil {
		return "", err
	}
	n.w.mesh.Impose(chaos.Split([]string{v}, n.w.others(v)))
	served, err := n.startsAlone(v)
	if err != nil {
		return "", err
	}
	if served {
		if err := p.Kill(); err != nil {
			return "", err
		}
		after, err := hashOf(n.w.data[v])
		if err != nil || after != before {
			n.t.Errorf("INV34: %s: %s served from a damaged %s: its state was %+v and is %+v, %v", what, v, file, before, after, err)
		}
	}
	if err := errors.Join(os.RemoveAll(n.w.data[v]+"/raft"), os.Remove(filepath.Join(n.w.data[v], "state.db")), chaos.Copy(kept, n.w.data[v])); err != nil {
		return "", err
	}
	n.w.mesh.Heal()
	return fmt.Sprintf("%s of %s: %s; served: %v, and if so nothing wrong", file, v, what, served), n.start(v)
}

// startsAlone starts a voter that reaches nobody, and says whether it came so far
// as to answer.
func (n *nemesis) startsAlone(v string) (served bool, err error) {
	p := n.w.Process(v)
	if err := p.Start(); err != nil {
		return false, err
	}
	end := time.Now().Add(10 * time.Second)
	for time.Now().Before(end) {
		if n.w.status(n.ctx, v) != nil {
			return true, nil
		}
		if state, err := chaos.StateOf(p.PID()); err != nil || state == 'Z' {
			how, err := p.WaitEnd(n.ctx)
			if err == nil && how == nil {
				err = fmt.Errorf("%s refused its damaged state and ended with code 0", v)
			}
			return false, err
		}
		n.hold(5*time.Millisecond, 5*time.Millisecond)
	}
	return false, fmt.Errorf("%s neither refuses its damaged state nor answers; its log is %s", v, p.Log())
}
