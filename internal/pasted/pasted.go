// Package pasted follows a page of the documentation to the letter: it runs the
// page's shell blocks, in order, as a reader would paste them, and looks that
// each prints what the page promises. It is for tests.
//
// The rules of a page:
//
//	```sh            run, in the terminal of the blocks before it
//	```sh terminal   left running in a terminal of its own; the blocks after it are in a fresh one
//	```sh ci         not run here: each line is a command that .ci/run gives
//	# says: TEXT     in a block: what its output must hold; white space does not count
//	# types: TEXT    behind a command: what the reader types when it asks
//
// A terminal of its own is ready when it has said all that its block promises, so
// that such a block must promise something. Blocks of other languages are not run.
package pasted

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Options of Follow.
type Options struct {
	Dir  string   // where the terminals are opened
	Env  []string // all of their environment
	Done []string // first lines of blocks that are done beforehand, and not run
	CI   string   // text of .ci/run, for blocks that are only run there

	Limit time.Duration // for the whole page; 0: 5 minutes
}

const (
	defaultLimit = 5 * time.Minute
	stopLimit    = 30 * time.Second // for a terminal that is interrupted
	look         = 50 * time.Millisecond
)

// Block is one shell block of a page.
type Block struct {
	Kind string // "", "terminal" or "ci"
	Text string
	Line int
}

var fence = regexp.MustCompile("(?ms)^```sh( [a-z]+)?\n(.*?)^```$")

// Blocks are a page's shell blocks, in order.
func Blocks(page []byte) []Block {
	var out []Block
	for _, m := range fence.FindAllSubmatchIndex(page, -1) {
		b := Block{Text: string(page[m[4]:m[5]]), Line: 1 + bytes.Count(page[:m[0]], []byte("\n"))}
		if m[2] >= 0 {
			b.Kind = strings.TrimSpace(string(page[m[2]:m[3]]))
		}
		out = append(out, b)
	}
	return out
}

var promise = regexp.MustCompile(`(?m)^# says: (.*)$`)

// broken names the first promise of a block that an output does not keep.
func (b Block) broken(said string) string {
	for _, m := range promise.FindAllStringSubmatch(b.Text, -1) {
		if !strings.Contains(plain(said), plain(m[1])) {
			return m[1]
		}
	}
	return ""
}

var answer = regexp.MustCompile(`(?m)\n# types: (.*)$`)

// typed is the block's text, in which each command that asks is given the answer
// that stands behind it, where a reader has a keyboard.
func (b Block) typed() string {
	return answer.ReplaceAllStringFunc(b.Text, func(m string) string {
		return " <<<'" + strings.ReplaceAll(answer.FindStringSubmatch(m)[1], "'", `'\''`) + "'"
	})
}

func plain(s string) string { return strings.Join(strings.Fields(s), " ") }

// Follow runs a page. It gives everything that the terminals printed, and an
// error that names the first block which failed or did not say what it should.
func Follow(ctx context.Context, page []byte, o Options) (said string, err error) {
	if o.Limit == 0 {
		o.Limit = defaultLimit
	}
	ctx, cancel := context.WithTimeout(ctx, o.Limit)
	defer cancel()
	blocks := Blocks(page)
	if len(blocks) == 0 {
		return "", errors.New("the page has no shell block")
	}
	var all strings.Builder
	var open []*terminal
	defer func() {
		for _, t := range open {
			if stopErr := t.stop(); err == nil {
				err = stopErr
			}
			all.WriteString(t.said())
		}
		said = all.String()
	}()
	var session []Block
	run := func() error {
		out, err := paste(ctx, session, o)
		session = nil
		all.WriteString(out)
		return err
	}
	for _, b := range blocks {
		switch {
		case done(b, o.Done):
		case b.Kind == "":
			session = append(session, b)
		case b.Kind == "ci":
			for _, line := range strings.Split(strings.TrimSpace(b.Text), "\n") {
				command, _, _ := strings.Cut(line, " #")
				if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(strings.TrimSpace(command)) + `$`).MatchString(o.CI) {
					return "", fmt.Errorf("line %d: .ci/run does not run %q", b.Line, command)
				}
			}
		case b.Kind == "terminal":
			if err := run(); err != nil {
				return "", err
			}
			t, err := begin(ctx, b, o)
			if t != nil {
				open = append(open, t)
			}
			if err != nil {
				return "", err
			}
		default:
			return "", fmt.Errorf("line %d: nobody knows what a block %q is", b.Line, b.Kind)
		}
	}
	return "", run()
}

func done(b Block, beforehand []string) bool {
	for _, d := range beforehand {
		if first, _, _ := strings.Cut(b.Text, "\n"); first == d {
			return true
		}
	}
	return false
}

// paste runs blocks in one terminal. Between two of them it prints a mark, so
// that each is held to what it printed itself.
func paste(ctx context.Context, blocks []Block, o Options) (string, error) {
	if len(blocks) == 0 {
		return "", nil
	}
	const mark = "\n@pasted@\n"
	var script strings.Builder
	for _, b := range blocks {
		script.WriteString(b.typed() + "printf '" + strings.ReplaceAll(mark, "\n", `\n`) + "'\n")
	}
	cmd := exec.CommandContext(ctx, "bash", "-e", "-o", "pipefail", "-c", script.String())
	cmd.Dir, cmd.Env = o.Dir, o.Env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // what it waits for holds its output open
	cmd.WaitDelay = stopLimit
	out, err := cmd.CombinedOutput()
	parts := strings.Split(string(out), mark)
	said := strings.Join(parts, "\n")
	for i, b := range blocks {
		if i == len(parts)-1 {
			return said, fmt.Errorf("the block of line %d failed (%w): it printed\n%s", b.Line, errors.Join(err, ctx.Err()), parts[i])
		}
		if missing := b.broken(parts[i]); missing != "" {
			return said, fmt.Errorf("the block of line %d did not say %q: it printed\n%s", b.Line, missing, parts[i])
		}
	}
	if err != nil {
		return said, fmt.Errorf("the terminal ended: %w", err)
	}
	return said, nil
}

// terminal is a block that is left running.
type terminal struct {
	block Block
	cmd   *exec.Cmd
	ended chan error

	mu  sync.Mutex
	out bytes.Buffer
}

func (t *terminal) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.out.Write(b)
}

func (t *terminal) said() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.out.String()
}

// begin opens a terminal and waits until it has said what its block promises.
func begin(ctx context.Context, b Block, o Options) (*terminal, error) {
	if !promise.MatchString(b.Text) {
		return nil, fmt.Errorf("the block of line %d stays and promises nothing to wait for; give it a line that begins with # says", b.Line)
	}
	t := &terminal{block: b, cmd: exec.Command("bash", "-e", "-c", b.Text), ended: make(chan error, 1)}
	t.cmd.Dir, t.cmd.Env, t.cmd.Stdout, t.cmd.Stderr = o.Dir, o.Env, t, t
	t.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C reaches a terminal's whole foreground group
	if err := t.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { t.ended <- t.cmd.Wait() }()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for t.block.broken(t.said()) != "" {
		select {
		case <-tick.C:
		case err := <-t.ended:
			t.ended <- err
			return t, fmt.Errorf("the block of line %d ended (%v) before it said %q: it printed\n%s", b.Line, err, b.broken(t.said()), t.said())
		case <-ctx.Done():
			return t, fmt.Errorf("the block of line %d did not say %q: it printed\n%s", b.Line, b.broken(t.said()), t.said())
		}
	}
	return t, nil
}

// stop is Ctrl-C. What does not end by it is killed, and an error.
func (t *terminal) stop() error {
	_ = syscall.Kill(-t.cmd.Process.Pid, syscall.SIGINT)
	select {
	case <-t.ended: // go run says that it was interrupted; what it ran has printed why it ended
		return nil
	case <-time.After(stopLimit):
		_ = syscall.Kill(-t.cmd.Process.Pid, syscall.SIGKILL)
		<-t.ended
		return fmt.Errorf("the block of line %d did not end by Ctrl-C: it printed\n%s", t.block.Line, t.said())
	}
}

// Programs puts a folder of programs where a page has them, at bin in dir.
func Programs(dir, bin string) error { return os.Symlink(bin, filepath.Join(dir, "bin")) }
