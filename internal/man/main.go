// Command man writes the manual pages of the programs into a folder: domicile(1) and
// a page for each command from the tree that runs, domicile-controlplane(8) and
// domicile-dataplane(8) from the pages of docs/reference that are made of the code.
//
//	go run ./internal/man --out DIR --version 0.4.0 --date 2026-11-28T13:01:34Z
//
// packaging runs it. It is no part of a program, so that what renders pages is in
// none.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/spf13/cobra/doc"

	"github.com/domicile-io/domicile/internal/cli"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "man:", err)
		os.Exit(1)
	}
}

// pages are what is written, and where from.
type pages struct {
	source  string // folder of Domicile's source
	out     string
	version string
	date    time.Time // at the foot of each page
}

func run(args []string) error {
	var p pages
	flags := flag.NewFlagSet("man", flag.ContinueOnError)
	flags.StringVar(&p.source, "source", ".", "`folder` of Domicile's source")
	flags.StringVar(&p.out, "out", "", "`folder` to fill (required)")
	flags.StringVar(&p.version, "version", "unknown", "of the programs")
	date := flags.String("date", "", "RFC 3339, of the revision (required)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var err error
	if p.date, err = time.Parse(time.RFC3339, *date); p.out == "" || err != nil {
		return errors.New("give --out FOLDER and --date, such as 2026-11-28T13:01:34Z")
	}
	if err := os.MkdirAll(p.out, 0o755); err != nil {
		return err
	}
	if err := p.commands(); err != nil {
		return err
	}
	for program, does := range map[string]string{"domicile-controlplane": "one voter of the policy store", "domicile-dataplane": "one node of one region"} {
		if err := p.daemon(program, does); err != nil {
			return err
		}
	}
	return nil
}

func (p pages) commands() error {
	root := cli.Tree()
	root.DisableAutoGenTag = true // its date is the clock's
	plainly(root)
	if err := doc.GenManTree(root, &doc.GenManHeader{Section: "1", Date: &p.date, Source: "Domicile " + p.version, Manual: "Domicile"}, p.out); err != nil {
		return err
	}
	pages, err := filepath.Glob(filepath.Join(p.out, "*.1"))
	if err != nil {
		return err
	}
	for _, page := range pages {
		raw, err := os.ReadFile(page)
		if err != nil {
			return err
		}
		if err := os.WriteFile(page, tidy(raw, p.date), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// daemon renders a page of docs/reference. A test holds those against the programs.
func (p pages) daemon(program, does string) error {
	raw, err := os.ReadFile(filepath.Join(p.source, "docs", "reference", program+".md"))
	if err != nil {
		return err
	}
	_, body, ok := strings.Cut(string(raw), "\n# "+program+"\n")
	if !ok {
		return fmt.Errorf("docs/reference/%s.md has no title: make docs", program)
	}
	title := fmt.Sprintf("%% %q %q %q %q %q\n", strings.ToUpper(program), "8", p.date.Format("Jan 2006"), "Domicile "+p.version, "Domicile")
	text := title + "# NAME\n" + program + " - " + does + "\n\n# DESCRIPTION\n" + strings.ReplaceAll(body, "\n## ", "\n# ")
	return os.WriteFile(filepath.Join(p.out, program+".8"), tidy(md2man.Render([]byte(text)), p.date), 0o644)
}
