package packages_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/domicile-io/domicile/controlplane"
	"github.com/domicile-io/domicile/dataplane"
)

// TestProgramsTakeTheChartsConfiguration renders the chart and lets the programs
// read the configurations in it, in which an unknown key is an error.
func TestProgramsTakeTheChartsConfiguration(t *testing.T) {
	helm := source(t, ".build", "peers", "helm")
	_, err := os.Stat(helm)
	need(t, "helm (make helm)", err == nil)
	chart := source(t, "deploy", "helm", "domicile")
	read := 0
	for _, values := range []string{"controlplane.yaml", "ie1.yaml", "us1.yaml"} {
		out, err := exec.Command(helm, "template", "x", chart, "--values", filepath.Join(chart, "ci", values)).Output()
		if err != nil {
			t.Fatalf("%s: %v", values, err)
		}
		for d := yaml.NewDecoder(strings.NewReader(string(out))); ; {
			var doc struct {
				Kind string
				Data map[string]string
			}
			if err := d.Decode(&doc); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			for name, text := range doc.Data {
				path := filepath.Join(t.TempDir(), name)
				write(t, path, text, 0o600)
				switch name {
				case "controlplane.yaml":
					_, err = controlplane.LoadConfig(path)
				case "dataplane.yaml":
					_, err = dataplane.LoadConfig(path)
				default:
					continue
				}
				if read++; err != nil {
					t.Errorf("%s: %v\n%s", values, err, text)
				}
			}
		}
	}
	if read != 6 {
		t.Errorf("%d configurations, want 6", read)
	}
}
