package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"
)

// bill is where a program's bill of materials is: CycloneDX JSON, made of what the
// linker wrote into the program, so that it lists what is in it and nothing else.
func bill(program string) string { return program + ".cdx.json" }

// describe writes the bill of one program.
func (r *Release) describe(ctx context.Context, program string) error {
	if r.Short {
		return nil
	}
	cmd := exec.CommandContext(ctx, r.CycloneDX, "bin", "-json", "-std", "-noserial", "-version", "v"+r.Version, "-output", "-", program)
	var text bytes.Buffer
	cmd.Stderr = &text
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("list what is in %s: %w\n%s(make cyclonedx installs the program)", filepath.Base(program), err, text.String())
	}
	if out, err = r.steady(out); err != nil {
		return fmt.Errorf("the bill of %s: %w", filepath.Base(program), err)
	}
	return writeFile(bill(program), out)
}

// steady puts the revision's date where the tool writes the clock's.
func (r *Release) steady(doc []byte) ([]byte, error) {
	var d map[string]any
	if err := json.Unmarshal(doc, &d); err != nil {
		return nil, err
	}
	metadata, ok := d["metadata"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("has no metadata")
	}
	metadata["timestamp"] = r.Date.Format(time.RFC3339)
	delete(d, "serialNumber")
	out, err := json.MarshalIndent(d, "", "  ")
	return append(out, '\n'), err
}
