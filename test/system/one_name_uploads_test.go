package system

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"path"
	"strconv"
	"testing"
)

// sound is a recording of so many bytes behind its header.
func sound(size int) []byte {
	wav := []byte("RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data\x00\x00\x00\x00")
	for i := range size {
		wav = append(wav, byte(i*i>>7))
	}
	return wav
}

// uploads sends a recording in pieces, each to the next node, and reads it back in
// ranges, each from the next node.
func (n *oneName) uploads(t *testing.T) {
	wav, made := sound(500_000), ""
	request := func(method, at string, body []byte, header ...string) *http.Request {
		r, err := http.NewRequestWithContext(n.ctx, method, n.region.BaseURL+at, bytes.NewReader(body))
		check(t, err)
		r.Header.Set("Authorization", "Bearer "+n.region.Key)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return r
	}
	r := request(http.MethodPost, "/v1/uploads", nil, "Tus-Resumable", "1.0.0", "Upload-Length", strconv.Itoa(len(wav)),
		"Upload-Metadata", "filename "+base64.StdEncoding.EncodeToString([]byte("one.wav")))
	h, _ := n.ask(t, r, http.StatusCreated)
	at := "/v1/uploads/" + path.Base(h.Get("Location"))
	const piece = 90_001
	took := map[string]int{}
	for offset := 0; offset < len(wav); offset += piece {
		end := min(offset+piece, len(wav))
		r := request(http.MethodPatch, at, wav[offset:end], "Tus-Resumable", "1.0.0", "Upload-Offset", strconv.Itoa(offset), "Content-Type", "application/offset+octet-stream")
		h, _ := n.ask(t, r, http.StatusNoContent)
		took[n.caller.lately()]++
		if got := h.Get("Upload-Offset"); got != strconv.Itoa(end) {
			t.Fatalf("the offset is %s after %d bytes", got, end)
		}
		made = h.Get("Content-Location")
	}
	id, gave := path.Base(made), map[string]int{}
	var back []byte
	for offset := 0; offset < len(wav); offset += piece {
		end := min(offset+piece, len(wav))
		r := request(http.MethodGet, "/v1/recordings/"+id+"/media", nil, "Range", fmt.Sprintf("bytes=%d-%d", offset, end-1))
		_, some := n.ask(t, r, http.StatusPartialContent)
		back = append(back, some...)
		gave[n.caller.lately()]++
	}
	sum := sha256.Sum256(wav)
	recording, err := n.region.Recording(n.ctx, id)
	check(t, err)
	if !bytes.Equal(back, wav) || recording.SHA256 != hex.EncodeToString(sum[:]) || recording.SizeBytes != int64(len(wav)) {
		t.Errorf("%d bytes came back of %d; %+v", len(back), len(wav), recording)
	}
	if len(took) != len(n.nodes) || len(gave) != len(n.nodes) {
		t.Errorf("pieces went to %v and ranges came from %v", took, gave)
	}
	t.Logf("pieces: %v, ranges: %v", took, gave)
}
