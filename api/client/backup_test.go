package client_test

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/domicile-io/domicile/api/client"
	"github.com/domicile-io/domicile/policy"
)

// A disk that is full where a backup is written to is told as that, and not as a
// connection that broke; and the other way round.
func TestABackupThatCannotBeWrittenIsNoFaultOfTheConnection(t *testing.T) {
	breaks := false
	s, hc := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(bytes.Repeat([]byte("backup"), 1<<16))
		if breaks {
			panic(http.ErrAbortHandler)
		}
	})
	c := client.Control{BaseURL: s.URL, Token: "t", HTTP: hc}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("SKIPPED: this system has no /dev/full:", err)
	}
	defer full.Close()
	err = c.Backup(t.Context(), nil, full)
	var domain *policy.Error
	if !errors.Is(err, syscall.ENOSPC) || errors.As(err, &domain) || !strings.Contains(err.Error(), "make room") {
		t.Errorf("a full disk: %v", err)
	}
	breaks = true
	var got bytes.Buffer
	if err = c.Backup(t.Context(), nil, &got); !errors.As(err, &domain) || got.Len() == 0 {
		t.Errorf("an answer that broke off after %d bytes: %v", got.Len(), err)
	}
}
