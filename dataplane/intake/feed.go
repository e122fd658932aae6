package intake

import (
	"context"
	"io"

	"github.com/domicile-io/domicile/dataplane/record"
)

func feed(ctx context.Context, s Settings, path, contentType string, body io.Reader, yield func(Item) error) error {
	return nil
}

func ndjson(ctx context.Context, s Settings, body io.Reader, yield func(Item) error) error {
	return nil
}

func native(s Settings, raw []byte) (record.Record, error) {
	return record.Record{}, ProblemJSON
}
