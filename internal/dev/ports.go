package dev

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/domicile-io/domicile/internal/loopback"
)

const portsFile = "ports.json"

// listener is one listener's key in ports.json and what a person calls it.
type listener struct{ key, purpose string }

// ports is listener key → TCP port on 127.0.0.1.
type ports map[string]int

func (p ports) address(key string) string {
	return loopback.Address(p[key])
}

// openPorts reads the ports of the first start, or draws them, and checks that
// each is free. A taken one is an error that names its listener.
func openPorts(dir string, want []listener) (ports, error) {
	path := filepath.Join(dir, portsFile)
	kept, err := readPorts(path)
	if err != nil {
		return nil, err
	}
	drawn, err := kept.complete(want)
	if err != nil {
		return nil, err
	}
	var taken []error
	for _, l := range want {
		if loopback.Free(kept[l.key]) {
			continue
		}
		taken = append(taken, fmt.Errorf("port %d on 127.0.0.1 is taken, and the listener for %s needs it: "+
			"end the program that uses it (ss -ltnp 'sport = :%d'), or give %q another port in %s", kept[l.key], l.purpose, kept[l.key], l.key, path))
	}
	if len(taken) > 0 {
		return nil, errors.Join(taken...)
	}
	if drawn == 0 {
		return kept, nil
	}
	raw, err := json.MarshalIndent(kept, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode ports: %w", err)
	}
	return kept, writeAtomically(path, append(raw, '\n'))
}

func readPorts(path string) (ports, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return ports{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the ports of the first start: %w", err)
	}
	var p ports
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, fmt.Errorf("%s is not {\"listener\": port}: %w; correct it or choose another --data-dir", path, err)
	}
	used := map[int]string{}
	for key, port := range p {
		if port < 1 || port > 65535 {
			return nil, fmt.Errorf("%s: %q has port %d; ports are 1 to 65535", path, key, port)
		}
		if other, twice := used[port]; twice {
			return nil, fmt.Errorf("%s: %q and %q have the same port %d", path, key, other, port)
		}
		used[port] = key
	}
	return p, nil
}

// complete draws a free port for each listener that has none, and counts them.
func (p ports) complete(want []listener) (int, error) {
	used := map[int]bool{}
	for _, port := range p {
		used[port] = true
	}
	drawn := 0
	for _, l := range want {
		if p[l.key] != 0 {
			continue
		}
		port, err := loopback.Port()
		for err == nil && used[port] {
			port, err = loopback.Port()
		}
		if err != nil {
			return 0, fmt.Errorf("draw a port for %s: %w", l.purpose, err)
		}
		p[l.key], used[port] = port, true
		drawn++
	}
	return drawn, nil
}
