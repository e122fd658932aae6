package client

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	controlv1 "github.com/domicile-io/domicile/api/control/v1"
)

// Backup copies an encrypted backup of the control plane's state to w, for the
// given recipients beside those of the voter's configuration. An answer that
// broke off may look like a whole one: check the file (package
// controlplane/backup). An error of w is answered as it is: it is nothing of the
// connection's.
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
	out := &noting{w: w}
	_, err = io.Copy(out, resp.Body)
	switch {
	case out.err != nil:
		return fmt.Errorf("write the backup that comes: %w; nothing is wrong with the voter: make room, or choose another place, and fetch it again", out.err)
	case err != nil:
		return transportError(resp.Request, err)
	}
	return nil
}

// noting is a writer that knows whether it was the one that failed.
type noting struct {
	w   io.Writer
	err error
}

func (n *noting) Write(b []byte) (int, error) {
	done, err := n.w.Write(b)
	if err == nil && done < len(b) {
		err = io.ErrShortWrite
	}
	n.err = err
	return done, err
}
