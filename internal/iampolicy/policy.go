package iampolicy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Policy is a policy document of version 2012-10-17.
type Policy struct {
	Statements []Statement
}

// Statement is one statement. Of each pair, such as Action and NotAction, at most
// one is given.
type Statement struct {
	Sid       string
	Effect    string // Allow or Deny
	Principal *Principals
	Action    []string
	NotAction []string
	Resource  []string
	NotRes    []string
	Condition map[string]map[string][]string // operator → key → values
}

// Principals is whom a statement of a resource's policy is about.
type Principals struct {
	Anybody  bool     // "*" or {"AWS": "*"}
	AWS      []string // ARNs, or account ids
	Services []string
}

type wireStatement struct {
	Sid         string                     `json:"Sid"`
	Effect      string                     `json:"Effect"`
	Principal   json.RawMessage            `json:"Principal"`
	Action      words                      `json:"Action"`
	NotAction   words                      `json:"NotAction"`
	Resource    words                      `json:"Resource"`
	NotResource words                      `json:"NotResource"`
	Condition   map[string]map[string]word `json:"Condition"`
}

// words is a string or a list of strings.
type words []string

// UnmarshalJSON implements json.Unmarshaler.
func (w *words) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		*w = words{one}
		return nil
	}
	var many []string
	err := json.Unmarshal(raw, &many)
	*w = many
	return err
}

// word is a condition's value: strings, numbers and booleans, one or many.
type word []string

// UnmarshalJSON implements json.Unmarshaler.
func (w *word) UnmarshalJSON(raw []byte) error {
	var many []any
	if json.Unmarshal(raw, &many) != nil {
		var one any
		if err := json.Unmarshal(raw, &one); err != nil {
			return err
		}
		many = []any{one}
	}
	for _, v := range many {
		switch v := v.(type) {
		case string, bool, float64:
			*w = append(*w, fmt.Sprint(v))
		default:
			return fmt.Errorf("a condition's value is %T", v)
		}
	}
	return nil
}

// Parse reads a document, strictly.
func Parse(text string) (Policy, error) {
	var doc struct {
		Version   string          `json:"Version"`
		ID        string          `json:"Id"`
		Statement []wireStatement `json:"Statement"`
	}
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(&doc); err != nil {
		return Policy{}, fmt.Errorf("read policy: %w", err)
	}
	if doc.Version != "2012-10-17" || len(doc.Statement) == 0 {
		return Policy{}, errors.New("read policy: it is not of version 2012-10-17, or has no statement")
	}
	var p Policy
	sids := map[string]bool{}
	for i, w := range doc.Statement {
		s, err := w.statement()
		if err != nil {
			return Policy{}, fmt.Errorf("statement %d (%s): %w", i, w.Sid, err)
		}
		if s.Sid == "" || sids[s.Sid] {
			return Policy{}, fmt.Errorf("statement %d has no Sid of its own", i)
		}
		sids[s.Sid] = true
		p.Statements = append(p.Statements, s)
	}
	return p, nil
}

func (w wireStatement) statement() (Statement, error) {
	s := Statement{Sid: w.Sid, Effect: w.Effect, Action: w.Action, NotAction: w.NotAction, Resource: w.Resource, NotRes: w.NotResource, Condition: map[string]map[string][]string{}}
	if s.Effect != "Allow" && s.Effect != "Deny" {
		return s, fmt.Errorf("effect is %q", s.Effect)
	}
	if (len(s.Action) == 0) == (len(s.NotAction) == 0) || len(s.Resource) > 0 && len(s.NotRes) > 0 {
		return s, errors.New("give one of Action and NotAction, and at most one of Resource and NotResource")
	}
	for op, keys := range w.Condition {
		if _, err := operatorOf(op); err != nil {
			return s, err
		}
		s.Condition[op] = map[string][]string{}
		for key, values := range keys {
			if len(values) == 0 {
				return s, fmt.Errorf("condition %s has no value", key)
			}
			s.Condition[op][strings.ToLower(key)] = values
		}
	}
	if text := fmt.Sprint(s); strings.Contains(text, "${") {
		return s, errors.New("policy variables are not known here")
	}
	var err error
	s.Principal, err = principals(w.Principal)
	return s, err
}

func principals(raw json.RawMessage) (*Principals, error) {
	if raw == nil {
		return nil, nil
	}
	if string(raw) == `"*"` {
		return &Principals{Anybody: true}, nil
	}
	var kinds map[string]words
	if err := json.Unmarshal(raw, &kinds); err != nil {
		return nil, fmt.Errorf("principal: %w", err)
	}
	p := &Principals{AWS: kinds["AWS"], Services: kinds["Service"]}
	p.Anybody = slices.Contains(p.AWS, "*")
	delete(kinds, "AWS")
	delete(kinds, "Service")
	if len(kinds) > 0 {
		return nil, fmt.Errorf("principals of kind %v are not known here", slices.Sorted(maps.Keys(kinds)))
	}
	return p, nil
}
