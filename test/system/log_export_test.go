package system

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/domicile-io/domicile/api/data"
	"github.com/domicile-io/domicile/internal/testcluster"
)

// A region's operator gives an auditor the whole log as a file, and the auditor
// checks it without asking anybody; one that was changed is found out.
func TestINV26_ARegionsExportedLogIsVerifiedFromTheFile(t *testing.T) {
	c := start(t, testcluster.Options{})
	d := desk{t: t, c: c, dir: t.TempDir()}
	_, region := place(t, c, "audited", "ie1", "IE", nil)
	_, err := region.CreateCall(context.Background(), data.NewCall{NativeID: "1", From: "+353867391846", To: "+442079460001"})
	check(t, err)
	var file []byte
	until(t, 20*time.Second, "the record's receipt in the log", func() error { // leaves are added in rounds
		file, err = exec.Command(filepath.Join(bin, "domicile-dataplane"), "log", "export", "--config", c.Process("ie1").Config()).Output()
		if err == nil && !strings.Contains(string(file), "receipt.batch") {
			err = errors.New("it is not there")
		}
		return err
	})
	if strings.Contains(string(file), "353867391846") {
		t.Error("the log names a number")
	}
	check(t, os.WriteFile(d.path("ie1-log.json"), file, 0o600))
	verify := []string{"audit", "verify", "--region", "ie1", "--ca", c.Env.CAFile(), "--leaves"}
	d.must(append(verify, d.path("ie1-log.json"))...)
	changed := strings.Replace(string(file), "receipt.batch", "receipt.butch", 1)
	check(t, os.WriteFile(d.path("changed.json"), []byte(changed), 0o600))
	if out, code := d.domicile(append(verify, d.path("changed.json"))...); code == 0 {
		t.Errorf("a changed log was verified: %s", out)
	}
}
