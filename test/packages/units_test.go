package packages_test

import (
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// mostExposure is the bound on systemd's own measure, of 10: what is left open is
// the network and the machine's root folder, read-only.
const mostExposure = 1.5

var exposure = regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`)

// TestUnitsAreTight asks systemd how much the units leave open, and whether it
// understands every line.
func TestUnitsAreTight(t *testing.T) {
	needProgram(t, "systemd-analyze")
	for _, part := range []string{"controlplane", "dataplane"} {
		unit := source(t, "packaging", "files", "systemd", "domicile-"+part+".service")
		out := command(t, "systemd-analyze", "security", "--offline=true", "--no-pager", unit)
		m := exposure.FindStringSubmatch(out)
		if m == nil {
			t.Fatalf("systemd-analyze did not say how exposed %s is:\n%s", part, out)
		}
		if got, err := strconv.ParseFloat(m[1], 64); err != nil || got > mostExposure {
			t.Errorf("%s is exposed by %s, want at most %v:\n%s", part, m[1], mostExposure, out)
		}
	}
}

// TestUnitsStopWhereARestartMendsNothing holds the restart policy to the programs'
// exit codes, and no unit to a region.
func TestUnitsStopWhereARestartMendsNothing(t *testing.T) {
	for part, codes := range map[string]string{"controlplane": "2 4 5", "dataplane": "2 74"} {
		unit := read(t, source(t, "packaging", "files", "systemd", "domicile-"+part+".service"))
		for _, want := range []string{"RestartPreventExitStatus=" + codes, "Restart=on-failure", "User=domicile-" + part, "LimitCORE=0", "MemorySwapMax=0"} {
			if !strings.Contains(unit, "\n"+want+"\n") {
				t.Errorf("the unit of %s lacks %s", part, want)
			}
		}
	}
	named := regexp.MustCompile(`(?im)^[^#]*\b(ie|us|de|uk|eu)[0-9]\b`)
	for _, pattern := range []string{"systemd/*", "etc/*", "examples/*"} {
		files, err := filepath.Glob(source(t, "packaging", "files", pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, f := range files {
			if line := named.FindString(read(t, f)); line != "" {
				t.Errorf("%s names a region for whoever copies it: %s", filepath.Base(f), line)
			}
		}
	}
}
