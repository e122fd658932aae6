package provider_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-plugin-framework/attr"
	"github.com/hashicorp/terraform-plugin-framework/datasource"
	ds "github.com/hashicorp/terraform-plugin-framework/datasource/schema"
	"github.com/hashicorp/terraform-plugin-framework/ephemeral"
	"github.com/hashicorp/terraform-plugin-framework/function"
	frame "github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	rs "github.com/hashicorp/terraform-plugin-framework/resource/schema"

	"github.com/domicile-io/domicile/terraform/provider"
)

var rewrite = flag.Bool("rewrite", false, "write docs/terraform anew")

const (
	docsDir     = "../../docs/terraform"
	examplesDir = "../examples"
)

// imports say what `terraform import` takes, for each resource.
var imports = map[string]string{
	"domicile_access_policy": "TENANT", "domicile_api_key": "TENANT/KEY", "domicile_contracting_entity": "COUNTRY", "domicile_recipient": "TENANT/RECIPIENT", "domicile_region": "REGION",
	"domicile_region_feature": "REGION/FEATURE", "domicile_residency_policy": "TENANT", "domicile_role_binding": "PRINCIPAL", "domicile_tenant": "ID or SLUG", "domicile_transfer_basis": "BASIS",
}

// The pages are made of the schemas and the examples, and of nothing else.
func TestDocumentationIsWhatTheSchemasSay(t *testing.T) {
	pages := render(t)
	found := map[string]bool{}
	for name, text := range pages {
		path := filepath.Join(docsDir, name)
		found[path] = true
		if *rewrite {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		there, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(there, []byte(text)) {
			t.Errorf("%s is not what the schemas say (%v): go test ./terraform/provider -run Documentation -rewrite", path, err)
		}
	}
	all, err := filepath.Glob(filepath.Join(docsDir, "*", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		if filepath.Base(filepath.Dir(path)) == "modules" {
			continue // terraform/modules makes them
		}
		if !found[path] {
			t.Errorf("%s is about nothing that there is", path)
		}
	}
}

func render(t *testing.T) map[string]string {
	ctx := context.Background()
	p := provider.New()
	pages := map[string]string{}
	var index frame.SchemaResponse
	p.Schema(ctx, frame.SchemaRequest{}, &index)
	list := map[string][]string{}
	add := func(folder, name, text string) {
		pages[folder+"/"+strings.TrimPrefix(name, "domicile_")+".md"] = text
		list[folder] = append(list[folder], fmt.Sprintf("[`%s`](%s/%s.md)", name, folder, strings.TrimPrefix(name, "domicile_")))
	}
	for _, one := range p.Resources(ctx) {
		r := one()
		var name resource.MetadataResponse
		var s resource.SchemaResponse
		r.Metadata(ctx, resource.MetadataRequest{ProviderTypeName: "domicile"}, &name)
		r.Schema(ctx, resource.SchemaRequest{}, &s)
		if _, ok := r.(resource.ResourceWithImportState); !ok || imports[name.TypeName] == "" {
			t.Errorf("%s cannot be imported, or this test does not say how", name.TypeName)
		}
		text := page(t, name.TypeName, "resources", s.Schema.MarkdownDescription, attributes(s.Schema.Attributes))
		add("resources", name.TypeName, text+fmt.Sprintf("\n## Import\n\n```sh\nterraform import %s.NAME %s\n```\n", name.TypeName, imports[name.TypeName]))
	}
	for _, one := range p.DataSources(ctx) {
		d := one()
		var name datasource.MetadataResponse
		var s datasource.SchemaResponse
		d.Metadata(ctx, datasource.MetadataRequest{ProviderTypeName: "domicile"}, &name)
		d.Schema(ctx, datasource.SchemaRequest{}, &s)
		add("data-sources", name.TypeName, page(t, name.TypeName, "data-sources", s.Schema.MarkdownDescription, attributes(s.Schema.Attributes)))
	}
	for _, one := range p.(frame.ProviderWithEphemeralResources).EphemeralResources(ctx) {
		e := one()
		var name ephemeral.MetadataResponse
		var s ephemeral.SchemaResponse
		e.Metadata(ctx, ephemeral.MetadataRequest{ProviderTypeName: "domicile"}, &name)
		e.Schema(ctx, ephemeral.SchemaRequest{}, &s)
		add("ephemeral-resources", name.TypeName, page(t, name.TypeName, "ephemeral-resources", s.Schema.MarkdownDescription, attributes(s.Schema.Attributes)))
	}
	for _, one := range p.(frame.ProviderWithFunctions).Functions(ctx) {
		f := one()
		var name function.MetadataResponse
		var d function.DefinitionResponse
		f.Metadata(ctx, function.MetadataRequest{}, &name)
		f.Definition(ctx, function.DefinitionRequest{}, &d)
		add("functions", name.Name, page(t, name.Name, "functions", d.Definition.MarkdownDescription, nil)+parameters(d.Definition))
	}
	pages["index.md"] = first(t, index.Schema.MarkdownDescription, attributes(index.Schema.Attributes), list)
	return pages
}

const generated = "<!-- Made of the schemas and terraform/examples: go test ./terraform/provider -run Documentation -rewrite -->\n\n"

func page(t *testing.T, name, folder, what string, all map[string]attribute) string {
	t.Helper()
	example, err := os.ReadFile(filepath.Join(examplesDir, folder, strings.TrimPrefix(name, "domicile_")+".tf"))
	if err != nil {
		t.Errorf("%s has no example: %v", name, err)
	}
	return fmt.Sprintf("%s# %s\n\n%s\n\n```hcl\n%s\n```\n%s", generated, name, what, strings.TrimSpace(string(example)), table(all))
}

func first(t *testing.T, what string, all map[string]attribute, list map[string][]string) string {
	t.Helper()
	example, err := os.ReadFile(filepath.Join(examplesDir, "provider.tf"))
	if err != nil {
		t.Error(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s# The Terraform provider\n\n%s\n\nA [quick start](../terraform-quickstart.md) of five minutes needs nothing from a registry.\n\n```hcl\n%s\n```\n%s", generated, what, strings.TrimSpace(string(example)), table(all))
	for _, folder := range []string{"resources", "data-sources", "ephemeral-resources", "functions"} {
		slices.Sort(list[folder])
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", strings.ToUpper(folder[:1])+strings.ReplaceAll(folder[1:], "-", " "), strings.Join(list[folder], " · "))
	}
	b.WriteString("\n## Modules\n\n" + modules(t) + "\nWhole regions, one to three: [terraform/examples](../../terraform/examples).\n")
	return b.String()
}

// modules links the pages of terraform/modules, whose tests make them.
func modules(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob("../modules/*/main.tf")
	if err != nil || len(found) == 0 {
		t.Fatalf("no module: %v", err)
	}
	var links []string
	for _, f := range found {
		name := filepath.Base(filepath.Dir(f))
		links = append(links, fmt.Sprintf("[`%s`](modules/%s.md)", name, name))
	}
	return strings.Join(links, " · ") + "\n"
}

func parameters(d function.Definition) string {
	var b strings.Builder
	b.WriteString("\n## Parameters\n\n| name | what it is |\n| --- | --- |\n")
	for _, p := range d.Parameters {
		fmt.Fprintf(&b, "| `%s` | %s |\n", p.GetName(), p.GetMarkdownDescription())
	}
	if v := d.VariadicParameter; v != nil {
		fmt.Fprintf(&b, "| `%s…` | %s |\n", v.GetName(), v.GetMarkdownDescription())
	}
	return b.String()
}

// attribute is what all kinds of schemas have in common.
type attribute interface {
	GetMarkdownDescription() string
	GetType() attr.Type
	IsRequired() bool
	IsOptional() bool
	IsComputed() bool
	IsSensitive() bool
	IsWriteOnly() bool
}

func attributes[A attribute](in map[string]A) map[string]attribute {
	out := map[string]attribute{}
	for name, a := range in {
		out[name] = a
	}
	return out
}

func table(all map[string]attribute) string {
	if all == nil {
		return ""
	}
	var b strings.Builder
	b.WriteString("\n## Attributes\n\n| name | kind | | what it is |\n| --- | --- | --- | --- |\n")
	rows(&b, "", all)
	return b.String()
}

func rows(b *strings.Builder, prefix string, all map[string]attribute) {
	names := slices.SortedFunc(maps.Keys(all), func(x, y string) int {
		if all[x].IsRequired() != all[y].IsRequired() {
			if all[x].IsRequired() {
				return -1
			}
			return 1
		}
		return strings.Compare(x, y)
	})
	for _, name := range names {
		a := all[name]
		need := "optional"
		switch {
		case a.IsRequired():
			need = "**required**"
		case a.IsComputed() && !a.IsOptional():
			need = "read only"
		}
		if a.IsWriteOnly() {
			need += ", write-only"
		}
		if a.IsSensitive() {
			need += ", sensitive"
		}
		inner, kind := nested(a)
		if inner == nil {
			kind = plain(a)
		}
		fmt.Fprintf(b, "| `%s%s` | %s | %s | %s |\n", prefix, name, kind, need, a.GetMarkdownDescription())
		if inner != nil {
			rows(b, prefix+name+".", inner)
		}
	}
}

func nested(a attribute) (map[string]attribute, string) {
	switch a := a.(type) {
	case rs.MapNestedAttribute:
		return attributes(a.NestedObject.Attributes), "map of objects"
	case rs.ListNestedAttribute:
		return attributes(a.NestedObject.Attributes), "list of objects"
	case rs.SingleNestedAttribute:
		return attributes(a.Attributes), "object"
	case ds.MapNestedAttribute:
		return attributes(a.NestedObject.Attributes), "map of objects"
	case ds.ListNestedAttribute:
		return attributes(a.NestedObject.Attributes), "list of objects"
	}
	return nil, ""
}

func plain(a attribute) string {
	kind := strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%T", a), "schema."), "Attribute")
	if kind == "Int64" {
		return "number"
	}
	return strings.ToLower(kind)
}

// Every example is valid, alone, by the real Terraform.
func TestExamplesAreValid(t *testing.T) {
	var all []string
	for _, pattern := range []string{"resources/*.tf", "data-sources/*.tf", "ephemeral-resources/*.tf", "functions/*.tf", "*.tf"} {
		found, err := filepath.Glob(filepath.Join(examplesDir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	if len(all) < 15 {
		t.Fatalf("only %d examples", len(all))
	}
	s := open(t)
	for _, file := range all {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "required_providers") {
			write(t, filepath.Join(s.dir, "main.tf"), string(text))
		} else {
			s.config(string(text))
		}
		if out, code := s.run("validate", "-no-color"); code != 0 {
			t.Errorf("%s:\n%s", file, out)
		}
	}
	for _, kind := range []string{"resources", "data-sources", "ephemeral-resources", "functions"} {
		if out, err := filepath.Glob(filepath.Join(examplesDir, kind, "*.tf")); err != nil || len(out) == 0 {
			t.Errorf("no examples of %s: %v", kind, err)
		}
	}
	if out, code := s.run("fmt", "-check", "-recursive", "-diff", "-no-color", absolute(t, examplesDir)); code != 0 {
		t.Errorf("the examples are not formatted:\n%s", out)
	}
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}
