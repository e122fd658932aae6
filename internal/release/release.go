// Package release says which release of Domicile a program is.
//
// A release is built with -ldflags that set version, commit and date (packaging
// does). Any other build knows what the go command stamped into it, which may be
// nothing.
package release

import (
	"regexp"
	"runtime"
	"runtime/debug"
)

// Set by the linker, which can only set strings; read by nobody but Of.
var version, commit, date string

// Info is what a program knows of its making. Unknown fields are "", Version is "unknown".
type Info struct {
	Version  string `json:"version"`            // semantic version without v, such as 0.4.0 or 0.0.0-dev.20261128130134.bad470d
	Revision string `json:"revision,omitempty"` // of git
	Date     string `json:"date,omitempty"`     // of that revision, RFC 3339, UTC
	Modified bool   `json:"modified,omitempty"` // built from files that differ from the revision
	Go       string `json:"go"`
	Platform string `json:"platform"` // GOOS/GOARCH
}

// plain is what others may write down without looking: into a backup's head, into
// replicated state.
var plain = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.+-]{0,63}$`)

// Of is this program.
func Of() Info {
	i := Info{Version: version, Revision: commit, Date: date, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if i.Version == "" {
		i.stamped()
	}
	if !plain.MatchString(i.Version) {
		i.Version = "unknown"
	}
	return i
}

// stamped takes what the go command knew.
func (i *Info) stamped() {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return
	}
	i.Version = info.Main.Version
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			i.Revision = s.Value
		case "vcs.time":
			i.Date = s.Value
		case "vcs.modified":
			i.Modified = s.Value == "true"
		}
	}
}

// String is one line for people: what support asks for first.
func (i Info) String() string {
	s := i.Version
	if i.Revision != "" {
		s += " " + i.Revision[:min(len(i.Revision), 12)]
	}
	if i.Modified {
		s += " with changes"
	}
	if i.Date != "" {
		s += " of " + i.Date
	}
	return s + " (" + i.Go + ", " + i.Platform + ")"
}
