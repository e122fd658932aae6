// Command protodeps prints the proto files that ours import out of the Go
// modules that we compile against, so that code generation needs no registry
// and can never disagree with the code that we link.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	_ "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	_ "github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-openapiv2/options"
	"github.com/jhump/protoreflect/v2/protoprint"
	_ "google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/reflect/protoregistry"
)

var wanted = []string{
	"google/api/annotations.proto", "google/api/http.proto",
	"buf/validate/validate.proto",
	"protoc-gen-openapiv2/options/annotations.proto", "protoc-gen-openapiv2/options/openapiv2.proto",
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: protodeps DIR")
		os.Exit(2)
	}
	for _, path := range wanted {
		if err := printFile(os.Args[1], path); err != nil {
			fmt.Fprintf(os.Stderr, "protodeps: %s: %v\n", path, err)
			os.Exit(1)
		}
	}
}

func printFile(dir, path string) error {
	fd, err := protoregistry.GlobalFiles.FindFileByPath(path)
	if err != nil {
		return err
	}
	dst := filepath.Join(dir, path)
	if err := os.MkdirAll(filepath.Dir(dst), 0o755); err != nil {
		return err
	}
	f, err := os.Create(dst)
	if err != nil {
		return err
	}
	defer f.Close()
	printer := protoprint.Printer{}
	return printer.PrintProtoFile(fd, f)
}
