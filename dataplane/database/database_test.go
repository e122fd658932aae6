package database

import (
	"strings"
	"testing"
)

func TestNothingLeavesInTheClear(t *testing.T) {
	for dsn, ok := range map[string]bool{
		"postgres://u:p@db.example:5432/d":                      false,
		"postgres://u:p@db.example:5432/d?sslmode=disable":      false,
		"postgres://u:p@db.example:5432/d?sslmode=require":      false,
		"postgres://u:p@db.example:5432/d?sslmode=verify-ca":    false,
		"postgres://u:p@db.example:5432/d?sslmode=verify-full":  true,
		"postgres://u:p@127.0.0.1:5432/d?sslmode=disable":       true,
		"host=/run/postgresql dbname=d user=u":                  true,
		"postgres://u:p@127.0.0.1,db.example/d?sslmode=disable": false,
	} {
		if _, err := Destinations(dsn); (err == nil) != ok {
			t.Errorf("%s: %v", dsn, err)
		} else if err != nil && strings.Contains(err.Error(), "u:p") {
			t.Errorf("the secret is told: %v", err)
		}
	}
	if _, err := Destinations("postgres://u:se%zzcret@h/d"); err == nil || strings.Contains(err.Error(), "cret") {
		t.Errorf("malformed: %v", err)
	}
	got, err := Destinations("host=/run/postgresql port=5433 dbname=d user=u")
	if err != nil || len(got) != 1 || got[0] != "/run/postgresql/.s.PGSQL.5433" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestSamePlace(t *testing.T) {
	const here = "postgres://u:p@127.0.0.1:5432/d?sslmode=disable"
	for other, same := range map[string]bool{
		"postgres://v:q@127.0.0.1:5432/d?sslmode=disable": true,
		"postgres://u:p@127.0.0.1:5432/e?sslmode=disable": false,
		"postgres://u:p@127.0.0.1:5433/d?sslmode=disable": false,
	} {
		if got, err := SamePlace(here, other); err != nil || got != same {
			t.Errorf("%s: %v, %v", other, got, err)
		}
	}
	if _, err := SamePlace(here, "postgres://u:p@db.example/d"); err == nil {
		t.Error("a connection string that breaks a rule was compared")
	}
}
