package server

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/domicile-io/domicile/api"
	controlv1 "github.com/domicile-io/domicile/api/control/v1"
	"github.com/domicile-io/domicile/policy"
)

// backupPath is the REST form of CreateBackup. grpc-gateway would wrap each
// chunk into JSON, so we pass the bytes on ourselves, over the same real
// connection to our own listener.
const backupPath = "/v1/backups"

// chunkTimeout is how long a client may take for one chunk; the server's own
// limit is for a whole answer.
const chunkTimeout = 30 * time.Second

func (s *Server) downloads(rest http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != backupPath:
			rest.ServeHTTP(w, r)
		case r.Method != http.MethodPost:
			w.Header().Set("Allow", http.MethodPost)
			routingProblem(w, r, http.StatusMethodNotAllowed)
		default:
			s.download(w, r)
		}
	})
}

func (s *Server) download(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("X-Request-Id")
	first, stream, err := s.openBackup(r)
	if err != nil {
		api.WriteProblem(w, err, id)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	deadline := http.NewResponseController(w)
	for chunk := first; ; {
		if err := deadline.SetWriteDeadline(time.Now().Add(chunkTimeout)); err != nil {
			panic(http.ErrAbortHandler)
		}
		if _, err := w.Write(chunk.GetData()); err != nil {
			panic(http.ErrAbortHandler) // the client has gone
		}
		if chunk, err = stream.Recv(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			s.log.Error("a backup broke off", "request_id", id, "cause", api.FromGRPC(err))
			panic(http.ErrAbortHandler) // the answer must not look whole
		}
	}
}

// openBackup begins the call and waits for its first chunk, so that a refusal
// is still an answer of its own.
func (s *Server) openBackup(r *http.Request) (*controlv1.BackupChunk, controlv1.BackupService_CreateBackupClient, error) {
	req := &controlv1.CreateBackupRequest{}
	body, err := io.ReadAll(r.Body) // admit has bounded it
	if err != nil {
		return nil, nil, err
	}
	if len(body) > 0 && protojson.Unmarshal(body, req) != nil {
		return nil, nil, policy.Errorf(policy.InvalidArgument, `the body does not fit the schema: send {"recipients": ["age1…"]}, or nothing`)
	}
	md := metadata.MD{}
	for _, h := range []string{"Authorization", "X-Request-Id"} {
		if v := r.Header.Get(h); v != "" {
			md.Set(h, v)
		}
	}
	// The call ends with the request.
	stream, err := controlv1.NewBackupServiceClient(s.own).CreateBackup(metadata.NewOutgoingContext(r.Context(), md), req)
	if err != nil {
		return nil, nil, s.problem(err)
	}
	first, err := stream.Recv()
	if errors.Is(err, io.EOF) {
		err = errors.New("the backup is empty")
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		return nil, nil, s.problem(err)
	}
	return first, stream, err
}
