package regions

import (
	"bytes"
	_ "embed"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/domicile-io/domicile/policy"
)

// MaxFile is the greatest catalogue that Load reads, in bytes.
const MaxFile = 1 << 20

//go:embed catalogue.yaml
var builtin []byte

// Builtin is the catalogue inside the program.
func Builtin() (*Catalogue, error) {
	c, err := Parse(builtin)
	if err != nil {
		return nil, fmt.Errorf("built-in catalogue: %w", err)
	}
	return c, nil
}

// Load reads an operator's catalogue from a file of at most MaxFile bytes.
func Load(path string) (*Catalogue, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the catalogue: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the catalogue %s: %w", path, err)
	}
	c, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("catalogue %s: %w", path, err)
	}
	return c, nil
}

// The YAML forms, keyed by id so that YAML itself refuses a repeated one.
type (
	file struct {
		Regions  map[string]regionYAML `yaml:"regions"`
		Entities map[string]entityYAML `yaml:"entities"` // by billing country
		Bases    map[string]basisYAML  `yaml:"bases"`
	}
	regionYAML struct {
		Boundary     string            `yaml:"boundary"`
		Country      string            `yaml:"country"`
		Cloud        string            `yaml:"cloud"`
		BackupRegion string            `yaml:"backup_region"`
		Lifecycle    string            `yaml:"lifecycle"`
		BaseURL      string            `yaml:"base_url"`
		Features     map[string]string `yaml:"features"`
	}
	entityYAML struct {
		Code            string `yaml:"code"`
		SuggestedRegion string `yaml:"suggested_region"`
	}
	basisYAML struct {
		State     string `yaml:"state"`
		ExpiresAt string `yaml:"expires_at"` // RFC 3339; "" none
	}
)

// Parse reads a catalogue and checks it whole. The error is a [Problems] when
// the YAML is well formed and something in it is wrong.
func Parse(data []byte) (*Catalogue, error) {
	if len(data) > MaxFile {
		return nil, fmt.Errorf("is larger than %d bytes", MaxFile)
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	var f file
	if err := dec.Decode(&f); err != nil {
		return nil, fmt.Errorf("decode YAML: %w", err)
	}
	if err := dec.Decode(&file{}); err != io.EOF {
		return nil, fmt.Errorf("decode YAML: there must be exactly one document")
	}
	return f.catalogue()
}

// Problems lists everything wrong in a catalogue, each with its key.
type Problems []policy.FieldError

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, f := range p {
		lines[i] = f.Field + ": " + f.Message
	}
	return fmt.Sprintf("%d problems: %s", len(p), strings.Join(lines, "; "))
}

func (p *Problems) require(ok bool, key, format string, args ...any) {
	if !ok {
		*p = append(*p, policy.FieldError{Field: key, Message: fmt.Sprintf(format, args...)})
	}
}

func (f *file) catalogue() (*Catalogue, error) {
	var problems Problems
	c := &Catalogue{Features: map[policy.RegionID]map[string]string{}}
	problems.require(len(f.Regions) > 0, "regions", "must name at least one region")
	for _, id := range sorted(f.Regions) {
		c.Regions = append(c.Regions, f.Regions[id].region(id, &problems))
		c.Features[policy.RegionID(id)] = f.Regions[id].features(id, &problems)
	}
	checkBackups(c.Regions, &problems)
	for _, country := range sorted(f.Entities) {
		c.Entities = append(c.Entities, f.entity(country, &problems))
	}
	for _, id := range sorted(f.Bases) {
		c.Bases = append(c.Bases, f.Bases[id].basis(id, &problems))
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return c, nil
}

func (f *file) entity(country string, p *Problems) Entity {
	e, key := f.Entities[country], "entities."+country
	p.require(countryPattern.MatchString(country), key, "must be an ISO 3166-1 alpha-2 country code in capitals")
	_, err := policy.ParseEntityCode(e.Code)
	p.require(err == nil, key+".code", "%v", err)
	_, known := f.Regions[e.SuggestedRegion]
	p.require(known, key+".suggested_region", "must be a region of this catalogue")
	return Entity{BillingCountry: country, Code: e.Code, SuggestedRegion: policy.RegionID(e.SuggestedRegion)}
}

func (b basisYAML) basis(id string, p *Problems) Basis {
	key := "bases." + id
	_, err := policy.ParseBasisID(id)
	p.require(err == nil, key, "%v", err)
	p.require(b.State == BasisActive || b.State == BasisRevoked || b.State == BasisExpired, key+".state", "must be active, revoked or expired")
	out := Basis{ID: id, State: b.State}
	if b.ExpiresAt != "" {
		t, err := time.Parse(time.RFC3339, b.ExpiresAt)
		p.require(err == nil, key+".expires_at", "must be an RFC 3339 time, or absent")
		t = t.UTC()
		out.ExpiresAt = &t
	}
	return out
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
