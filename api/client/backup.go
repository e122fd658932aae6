package client

import (
	"bytes"
	"context"
	"io"
	"net/http"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

// Backup copies an encrypted backup of the control plane's state to w, for the
// given recipients beside those of the voter's configuration. An answer that
// broke off may look like a whole one: check the file (package
// controlplane/backup).
func (c *Control) Backup(ctx context.Context, recipients []string, w io.Writer) error {
	body, err := marshal.Marshal(&controlv1.CreateBackupRequest{Recipients: recipients})
	if err != nil {
		return err
	}
	resp, err := c.wire().do(ctx, request{method: http.MethodPost, path: "/v1/backups", body: bytes.NewReader(body),
		header: http.Header{"Content-Type": {"application/json"}}})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(w, resp.Body); err != nil {
		return transportError(resp.Request, err)
	}
	return nil
}
