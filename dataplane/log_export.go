package dataplane

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	regionlog "github.com/domicile-io/domicile/dataplane/log"
)

// logRoutes are those of `domicile-dataplane log` on the administration socket.
func (n *Node) logRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /log", func(w http.ResponseWriter, r *http.Request) {
		if err := n.exportLog(r, w); err != nil {
			n.log.Warn("the region's log could not be exported to the end", "cause", err)
			panic(http.ErrAbortHandler) // half a file must not look whole
		}
	})
}

// exportLog writes every leaf that a checkpoint covers, and what each commits
// to, in the form that `domicile audit verify --leaves` reads.
func (n *Node) exportLog(r *http.Request, to io.Writer) error {
	ctx := r.Context()
	point, head, err := n.regionLog.Checkpoint(ctx, 0)
	if err != nil {
		return err
	}
	form, err := json.Marshal(point)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(to)
	fmt.Fprintf(w, "{\"checkpoint\":%s,\n", form) // the writer keeps its error for Flush
	for _, part := range []string{"leaves", "details"} {
		fmt.Fprintf(w, "%q:[", part)
		for start := uint64(0); start < head.Size; start += regionlog.MaxLeaves {
			page, err := n.regionLog.Leaves(ctx, "", start, int(min(regionlog.MaxLeaves, head.Size-start)))
			if err != nil {
				return err
			}
			for _, l := range page.Leaves {
				text := l.Leaf
				if part == "details" {
					text = l.Detail
				}
				line, err := json.Marshal(text)
				if err != nil {
					return err
				}
				if l.Index > 0 {
					_ = w.WriteByte(',')
				}
				fmt.Fprintf(w, "\n%s", line)
			}
		}
		fmt.Fprintf(w, "]%s\n", map[string]string{"leaves": ",", "details": "}"}[part])
	}
	return w.Flush()
}
