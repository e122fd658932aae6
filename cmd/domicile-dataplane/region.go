package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"time"

	"github.com/domicile-io/domicile/dataplane"
	"github.com/domicile-io/domicile/dataplane/backup"
	"github.com/domicile-io/domicile/dataplane/move"
)

const regionUsage = `domicile-dataplane region migrate-store: move an embedded region to a database while it serves

  check    see whether it can be done; nothing is copied
  start    copy, compare, and then switch; an interrupted move goes on
  status   how far it is
  watch    show the progress of one that runs
  switch   end one that waits (start --hold): writers pause, the node ends
  stop     interrupt it; start goes on
  abort    give it up: what was copied is removed, the node goes on as it was
  finish   on a stopped node: destroy the former key table, if that is left to do

They ask the running node over its socket in data_dir, as the node's own user.
Ctrl-C ends the command and not the move. After the switch the node ends by
itself: start it with the configuration of --to. See docs/operations/migrate-store.md.

  --config FILE      the configuration that the node has (required)
  --to FILE          check, start: the configuration that it is to have, with store.kind: sql
  --hold             start: wait for switch once the copy is whole
  --rate SIZE        start: bytes a second that are read of the store, such as 32MiB; default no limit
  --max-pause TIME   start: give the switch up when writers would wait for longer; default 1m
  --compare-paused   start: compare every row again while writers wait
  --remove           finish: remove the files of the embedded store too
  -o json            for machines
`

// regionFlags are those of all verbs.
type regionFlags struct {
	config, to, format, rate string
	hold, full, remove       bool
	pause                    time.Duration
}

// region runs `domicile-dataplane region migrate-store VERB`, and `region holds VERB`.
func region(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == "holds" {
		return regionHolds(ctx, args[1:], stdout, stderr)
	}
	if len(args) < 2 || args[0] != "migrate-store" {
		fmt.Fprint(stderr, regionUsage+"\n"+holdsUsage)
		return exitUsage
	}
	var f regionFlags
	flags := flag.NewFlagSet("domicile-dataplane region migrate-store "+args[1], flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, regionUsage) }
	flags.StringVar(&f.config, "config", "", "the configuration that the node has")
	flags.StringVar(&f.to, "to", "", "the configuration that it is to have")
	flags.StringVar(&f.format, "o", "table", "table or json")
	flags.StringVar(&f.rate, "rate", "", "bytes a second")
	flags.BoolVar(&f.hold, "hold", false, "wait for switch")
	flags.BoolVar(&f.full, "compare-paused", false, "compare every row while writers wait")
	flags.BoolVar(&f.remove, "remove", false, "remove the embedded store")
	flags.DurationVar(&f.pause, "max-pause", 0, "longest pause")
	if err := flags.Parse(args[2:]); err != nil {
		return exitUsage
	}
	rate, err := bytesOf(f.rate)
	if f.config == "" || flags.NArg() > 0 || f.format != "table" && f.format != "json" || err != nil || f.pause < 0 {
		fmt.Fprint(stderr, regionUsage)
		return exitUsage
	}
	cfg, err := dataplane.LoadConfig(f.config)
	if err == nil && f.to != "" {
		f.to, err = filepath.Abs(f.to)
	}
	if err != nil {
		fmt.Fprintln(stderr, "domicile-dataplane:", err)
		return exitUsage
	}
	c := &regionCommand{ctx: ctx, cfg: cfg, f: f, rate: rate, stdout: stdout, stderr: stderr, bar: newBar(stderr)}
	err = c.run(args[1])
	c.bar.end()
	if errors.Is(err, errVerb) {
		fmt.Fprint(stderr, regionUsage)
		return exitUsage
	}
	if err != nil {
		fmt.Fprintln(stderr, "domicile-dataplane:", err)
		return exitFailed
	}
	return exitOK
}

var errVerb = errors.New("no such verb")

type regionCommand struct {
	ctx            context.Context
	cfg            dataplane.Config
	f              regionFlags
	rate           int64
	stdout, stderr io.Writer
	bar            *bar
}

func (c *regionCommand) run(verb string) error {
	query := url.Values{"to": {c.f.to}, "hold": {strconv.FormatBool(c.f.hold)}, "full": {strconv.FormatBool(c.f.full)},
		"rate": {strconv.FormatInt(c.rate, 10)}, "max_pause": {c.f.pause.String()}}
	switch verb {
	case "check", "start":
		if c.f.to == "" {
			return errors.New("give --to, the configuration that the node is to have")
		}
	case "switch", "watch", "stop", "abort":
	case "status":
		s, err := c.ask(http.MethodGet, "/region/move", nil)
		if errors.Is(err, errNotRunning) {
			s, err = dataplane.ReadMoveStatus(c.cfg)
		}
		if err != nil {
			return err
		}
		return c.print(s)
	case "finish":
		s, err := dataplane.FinishMove(c.ctx, c.cfg, c.f.remove)
		if err != nil {
			return err
		}
		return c.print(s)
	default:
		return errVerb
	}
	s, err := c.ask(http.MethodPost, "/region/move:"+verb, query)
	if err != nil && c.ctx.Err() != nil && verb != "check" {
		return fmt.Errorf("the move goes on in the node: `watch` shows it, `stop` interrupts it: %w", c.ctx.Err())
	}
	if err != nil {
		return err
	}
	switch verb {
	case "check":
		fmt.Fprintln(c.stderr, "both databases answer and are empty, or hold the beginning of this move; nothing was copied")
	case "abort":
		fmt.Fprintln(c.stderr, "nothing of this region is in the databases any more; the node goes on as it was")
		return nil
	}
	return c.print(s)
}

// ask sends one request over the node's socket, and shows its progress.
func (c *regionCommand) ask(method, path string, query url.Values) (s dataplane.MoveStatus, err error) {
	resp, err := onSocket(c.ctx, c.cfg, method, path+"?"+query.Encode())
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	for in := json.NewDecoder(resp.Body); ; {
		var a dataplane.MoveAnswer
		if err := in.Decode(&a); err != nil {
			return s, fmt.Errorf("the node's answer broke off: %w; `status` says how far the move is", err)
		}
		if a.Status != nil {
			s = *a.Status
		}
		if a.Error != "" && (a.Done || a.Status == nil) {
			return s, errors.New(a.Error)
		}
		if a.Done {
			return s, nil
		}
		c.show(s)
	}
}

func (c *regionCommand) show(s dataplane.MoveStatus) {
	if s.Move == nil {
		return
	}
	switch m := s.Move; {
	case m.Problem != "":
		c.bar.end()
		fmt.Fprintln(c.stderr, "waits:", m.Problem)
	case m.Phase == move.Copying || m.Phase == move.Comparing:
		c.bar.show(backup.Step{Name: string(m.Phase), Done: min(m.Bytes, m.Total), Of: m.Total})
	}
}

func (c *regionCommand) print(s dataplane.MoveStatus) error {
	c.bar.end()
	if c.f.format == "json" {
		e := json.NewEncoder(c.stdout)
		e.SetIndent("", "  ")
		return e.Encode(s)
	}
	return printMove(c.stdout, s)
}

// bytesOf reads a size.
func bytesOf(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	for _, unit := range []struct {
		name  string
		times int64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"", 1}} {
		digits := text[:max(0, len(text)-len(unit.name))]
		if digits+unit.name != text {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 32)
		if err == nil && n <= 0 {
			err = errors.New("it must be positive")
		}
		return n * unit.times, err
	}
	return 0, errors.New("not a size")
}
