package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/domicile-io/domicile/internal/cli"
)

func written(t *testing.T) map[string][]byte {
	t.Helper()
	dir := t.TempDir()
	if err := run([]string{"--source", "../..", "--out", dir, "--version", "1.2.3", "--date", "2026-11-28T13:01:34Z"}); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) < 80 {
		t.Fatalf("%d pages, %v", len(names), err)
	}
	all := map[string][]byte{}
	for _, name := range names {
		if all[filepath.Base(name)], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// TestPagesAreReadAsTheyAreMeant lets man render each page: it warns of nothing, and
// what a person needs stands there.
func TestPagesAreReadAsTheyAreMeant(t *testing.T) {
	if _, err := exec.LookPath("groff"); err != nil {
		t.Skip("SKIPPED, NOT TESTED: groff is missing: manual pages are not rendered here")
	}
	all := written(t)
	for name, says := range map[string][]string{
		"domicile.1":                {"NAME", "domicile-tenants(1)", "--output"},
		"domicile-tenants-create.1": {"SYNOPSIS", "domicile tenants create", "--region", "--country", "Domicile 1.2.3"},
		"domicile-dataplane.8":      {"one node of one region", "migrate-store", "74 a write or sync of its files failed", "-config"},
		"domicile-controlplane.8":   {"one voter of the policy store", "domicile-controlplane --config"},
	} {
		if all[name] == nil {
			t.Errorf("there is no page %s", name)
			continue
		}
		text := strings.Join(strings.Fields(rendered(t, name, all[name])), " ")
		for _, want := range says {
			if !strings.Contains(text, want) {
				t.Errorf("%s does not say %q:\n%s", name, want, text)
			}
		}
	}
	for name, page := range all {
		if bytes.Contains(page, []byte("/root/")) || bytes.Contains(page, []byte("<nil>")) {
			t.Errorf("%s holds what it must not", name)
		}
	}
}

func rendered(t *testing.T, name string, page []byte) string {
	t.Helper()
	c := exec.Command("groff", "-man", "-t", "-k", "-Tutf8", "-P-cbou", "-ww")
	var said bytes.Buffer
	c.Stdin, c.Stderr = bytes.NewReader(page), &said
	out, err := c.Output()
	if err != nil || said.Len() > 0 {
		t.Errorf("%s: %v\n%s", name, err, said.String())
	}
	return string(out)
}

// Help is plain text, and pages are made by way of Markdown: what is a sign there
// stays what it is. Names of variables lost underscores, <REGION> vanished, and
// commands under each other became one line.
func TestHelpIsNotTakenForMarkdown(t *testing.T) {
	name := regexp.MustCompile(`DOMICILE_[A-Z_<>]*[A-Z]`)
	seen := 0
	all := written(t)
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		file := strings.ReplaceAll(c.CommandPath(), " ", "-") + ".1"
		for _, want := range name.FindAllString(c.Long+c.LocalFlags().FlagUsages(), -1) {
			if seen++; !bytes.Contains(all[file], []byte(want)) {
				t.Errorf("%s does not name %s", file, want)
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(cli.Tree())
	if seen < 20 {
		t.Errorf("only %d names were looked for", seen)
	}
	if got := asMarkdown("Type\n\n  one *\n  two\n\nor a_b."); got != "Type\n\n\n    one *\n    two\n\n\nor a\\_b." {
		t.Errorf("%q", got)
	}
}

// mandoc, which reads more strictly than groff, warns of nothing.
func TestMandocWarnsOfNothing(t *testing.T) {
	if _, err := exec.LookPath("mandoc"); err != nil {
		if os.Getenv("DOMICILE_NEED_MANDOC") != "" {
			t.Fatal("mandoc is missing, and DOMICILE_NEED_MANDOC demands it")
		}
		t.Skip("SKIPPED, NOT TESTED: mandoc is missing: manual pages are not linted here")
	}
	for name, page := range written(t) {
		c := exec.Command("mandoc", "-Tlint", "-Wwarning")
		c.Stdin = bytes.NewReader(page)
		if out, err := c.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

func TestTheSameRevisionGivesTheSamePages(t *testing.T) {
	first, second := written(t), written(t)
	if len(first) != len(second) {
		t.Fatalf("%d and %d pages", len(first), len(second))
	}
	for name := range first {
		if !bytes.Equal(first[name], second[name]) {
			t.Errorf("%s differs", name)
		}
	}
}
