package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFormsAreToldInWords(t *testing.T) {
	for message, want := range map[string]string{
		ofForm + "^[a-z]{2}[0-9]{1,2}$`": "must be a region's id, such as ie1",
		ofForm + "^CH[0-9a-f]{32}$`":     "must be an id: CH and 32 hex digits, small ones",
		ofForm + "^(SK[0-9a-f]{32})?$`":  "must be an id: SK and 32 hex digits, small ones",
		ofForm + "^x$`":                  ofForm + "^x$`",
		"must be in list [a, b]":         "must be in list [a, b]",
	} {
		if got := inWords(message); got != want {
			t.Errorf("%s: %s, want %s", message, got, want)
		}
	}
}

// An expression that the proto files have no more would never be told.
func TestEveryFormIsOfTheAPI(t *testing.T) {
	files, err := filepath.Glob("../../api/control/v1/*.proto")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	var all strings.Builder
	for _, path := range files {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(raw)
	}
	for pattern := range forms {
		if !strings.Contains(all.String(), `"`+pattern+`"`) {
			t.Errorf("no field of the API asks for %s", pattern)
		}
	}
}
