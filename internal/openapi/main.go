// Command openapi finishes the OpenAPI document that protoc-gen-openapiv2
// wrote: it adds to each operation the errors that it answers with and the
// Idempotency-Key that it takes, and describes the one path that we route by
// hand. `make generate` runs it; what it writes is committed.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: openapi FILE")
		os.Exit(2)
	}
	if err := rewrite(os.Args[1]); err != nil {
		fmt.Fprintf(os.Stderr, "openapi: %v\n", err)
		os.Exit(1)
	}
}

func rewrite(path string) error {
	in, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	out, err := finish(in)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, out, 0o644)
}

// finish returns the finished document. What it has finished once it leaves as it is.
func finish(in []byte) ([]byte, error) {
	var doc map[string]any
	if err := json.Unmarshal(in, &doc); err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	paths, ok := doc["paths"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("it has no paths")
	}
	paths[backupPath] = map[string]any{"post": backup()}
	for path, methods := range paths {
		for method, o := range methods.(map[string]any) {
			complete(path, method, o.(map[string]any))
		}
	}
	separate(doc)
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(doc); err != nil { // the keys of maps come out sorted
		return nil, fmt.Errorf("write the document: %w", err)
	}
	return out.Bytes(), nil
}
