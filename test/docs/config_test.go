package docs

import (
	"fmt"
	"go/ast"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/controlplane"
	"github.com/domicile-io/domicile/dataplane"
)

// setting is one key of a configuration file.
type setting struct {
	path, kind, about string
	def               string // as the comment says
}

// Every key of a voter's configuration.
func TestReferenceOfAVotersConfiguration(t *testing.T) {
	needed := missing(t, func(path string) error { _, err := controlplane.LoadConfig(path); return err })
	keys := settings(t, reflect.TypeFor[controlplane.Config](), "")
	page(t, "controlplane-config.md", "Configuration of a voter",
		"`domicile-controlplane --config FILE` reads one YAML document of at most 1 MiB. An unknown key, a missing one or a bad value stops the start with an error that names the key. "+units, body(t, keys, needed))
}

// Every key of a node's configuration. Defaults that loading fills in must be
// those that the comments promise.
func TestReferenceOfANodesConfiguration(t *testing.T) {
	load := func(path string) error { _, err := dataplane.LoadConfig(path); return err }
	needed := missing(t, load)
	keys := settings(t, reflect.TypeFor[dataplane.Config](), "")
	path := filepath.Join(t.TempDir(), "node.yaml")
	small := "region: ie1\ndata_dir: /d\ntls: {certificate: c, key: k, ca: a}\nlisten_address: h:1\nhosts: [h]\ncontrol_plane: [h:1]\n" +
		"root_public_key: \"" + strings.Repeat("00", 32) + "\"\nbase_urls: {ie1: https://h}\ndefault_country: IE\nbackup: {folder: /b}\n"
	if err := os.WriteFile(path, []byte(small), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := dataplane.LoadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	promised := map[string]string{}
	for _, k := range keys {
		promised[k.path] = k.def
	}
	seen := 0
	durations(reflect.ValueOf(cfg), "", func(path string, d time.Duration) {
		if seen++; duration(promised[path]) != d {
			t.Errorf("%s is %v when it is left out, and its comment says %q", path, d, promised[path])
		}
	})
	if seen < 4 {
		t.Errorf("only %d defaults were compared", seen)
	}
	page(t, "dataplane-config.md", "Configuration of a region's node",
		"`domicile-dataplane --config FILE` reads one YAML document of at most 1 MiB; `--check` reads it and ends. An unknown key, a missing one or a bad value stops the start with an error that names the key. "+units, body(t, keys, needed))
}

// keyAtFault is the key that a line of a refusal begins with, behind the file's name.
var keyAtFault = regexp.MustCompile(`^(?:configuration \S+: )?([a-z_]+(?:\.[a-z_0-9]+)*): `)

const units = "Durations are written `30s`, `5m`, `12h`; sizes are numbers of bytes; a path may be relative to the folder that the program is started in. `NAME` stands for a name of yours, `[]` for each element of a list."

// missing are the keys that an empty file is refused for.
func missing(t *testing.T, load func(string) error) map[string]bool {
	t.Helper()
	path := filepath.Join(t.TempDir(), "empty.yaml")
	if err := os.WriteFile(path, []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := load(path)
	if err == nil {
		t.Fatal("an empty configuration was taken")
	}
	out := map[string]bool{}
	for _, line := range strings.Split(err.Error(), "\n") {
		for _, m := range keyAtFault.FindAllStringSubmatch(line, -1) {
			out[m[1]] = true
		}
	}
	if len(out) < 5 {
		t.Fatalf("an empty configuration is refused only for %v: %v", sorted(out), err)
	}
	return out
}

// settings walks a configuration's type; the comments come from the sources.
func settings(t *testing.T, typ reflect.Type, under string) []setting {
	t.Helper()
	var out []setting
	about := comments(t, typ)
	for i := range typ.NumField() {
		f := typ.Field(i)
		tag, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if options == "inline" {
			out = append(out, settings(t, f.Type, under)...)
			continue
		}
		if tag == "" || tag == "-" {
			if f.IsExported() && tag == "" {
				t.Errorf("%s.%s has no key", typ, f.Name)
			}
			continue
		}
		s := setting{path: under + tag, about: about[f.Name]}
		s.def = defaultOf(s.about)
		inner, suffix := f.Type, ""
		for descended := true; descended; {
			switch inner.Kind() {
			case reflect.Pointer:
				inner = inner.Elem()
			case reflect.Slice:
				inner, suffix = inner.Elem(), suffix+"[]"
			case reflect.Map:
				inner, suffix = inner.Elem(), suffix+".NAME"
			default:
				descended = false
			}
		}
		s.kind = kind(f.Type)
		if s.about == "" {
			t.Errorf("%s (%s.%s) says not what it is: give the field a comment", s.path, typ, f.Name)
		}
		out = append(out, s)
		if inner.Kind() == reflect.Struct {
			out = append(out, settings(t, inner, s.path+suffix+".")...)
		}
	}
	return out
}

// comments are what the source says of a struct's fields.
func comments(t *testing.T, typ reflect.Type) map[string]string {
	t.Helper()
	out := map[string]string{}
	each(sources(t, strings.TrimPrefix(typ.PkgPath(), module)), func(_ *ast.File, s *ast.TypeSpec) {
		st, ok := s.Type.(*ast.StructType)
		if !ok || s.Name.Name != typ.Name() {
			return
		}
		last := ""
		for _, f := range st.Fields.List {
			what := words(f.Doc, f.Comment)
			if f.Doc == nil && f.Comment == nil && last != "" && typ.Name() == "KeysConfig" {
				what = last // one comment above two keys
			}
			last = words(f.Doc)
			for _, n := range f.Names {
				out[n.Name] = what
			}
		}
	})
	return out
}

func kind(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "duration"
	case t.Kind() == reflect.Pointer:
		return kind(t.Elem())
	case t.Kind() == reflect.Slice:
		return "list of " + kind(t.Elem())
	case t.Kind() == reflect.Map:
		return "map to " + kind(t.Elem())
	case t.Kind() == reflect.Struct:
		return "section"
	case t.Kind() == reflect.String:
		return "text"
	case t.Kind() == reflect.Bool:
		return "true or false"
	}
	return "number"
}

var defaults = []*regexp.Regexp{
	regexp.MustCompile(`\bdefault:? ((?:,\d|\.\S|[^;,.])+)`),
	regexp.MustCompile(`\b0: ((?:,\d|\.\S|[^;,.])+)`),
	regexp.MustCompile(`\bleft out: ([^;]+)`),
	regexp.MustCompile(`"" ([^;,]+)$`),
	regexp.MustCompile(`([a-z]+) \(default\)`),
}

// defaultOf finds what a comment says of a key that is left out.
func defaultOf(about string) string {
	for _, d := range defaults {
		if m := d.FindStringSubmatch(about); m != nil {
			return strings.TrimSpace(m[1])
		}
	}
	return ""
}

func duration(s string) time.Duration {
	d, _ := time.ParseDuration(strings.ReplaceAll(s, " ", ""))
	return d
}

// durations visits the times of a loaded configuration that are not 0.
func durations(v reflect.Value, under string, visit func(string, time.Duration)) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case f.Type == reflect.TypeFor[time.Duration]() && v.Field(i).Int() != 0:
			visit(under+tag, time.Duration(v.Field(i).Int()))
		case f.Type.Kind() == reflect.Struct:
			durations(v.Field(i), under+tag+".", visit)
		}
	}
}

// body is a table for the keys of the file itself and one for each section.
func body(t *testing.T, keys []setting, needed map[string]bool) string {
	t.Helper()
	var order []string
	rows := map[string][][]string{}
	for _, k := range keys {
		section, name := "", k.path
		if i := strings.LastIndexByte(k.path, '.'); i > 0 {
			section, name = k.path[:i], k.path[i+1:]
		}
		if _, ok := rows[section]; !ok {
			order = append(order, section)
		}
		def := k.def
		if needed[k.path] {
			def = "**required**"
		}
		rows[section] = append(rows[section], []string{code(name), k.kind, def, sentence(k.about)})
	}
	for name := range needed {
		known := false
		for _, k := range keys {
			known = known || k.path == name
		}
		if !known {
			t.Errorf("an empty file is refused for %s, which is no key", name)
		}
	}
	var b strings.Builder
	for _, s := range order {
		title := "The file"
		if s != "" {
			title = s
		}
		fmt.Fprintf(&b, "## %s\n\n%s\n", title, table([]string{"key", "type", "left out", "meaning"}, rows[s]))
	}
	return b.String()
}
