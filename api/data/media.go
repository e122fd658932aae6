package data

import "time"

// Recording is what is known of a recording; its sound is at MediaURL.
type Recording struct {
	ID         string    `json:"id"`
	CallID     string    `json:"call_id,omitempty"`
	Format     string    `json:"format"` // wav, opus, mp3
	MediaType  string    `json:"media_type"`
	SizeBytes  int64     `json:"size_bytes"`
	SHA256     string    `json:"sha256"`             // of the whole file, hex
	Channels   int       `json:"channels,omitempty"` // absent when the file does not say
	DurationMS int64     `json:"duration_ms,omitempty"`
	CreateTime time.Time `json:"create_time"`
	MediaURL   string    `json:"media_url"` // relative to the region's base URL
	State      string    `json:"state,omitempty"`
	Region     string    `json:"region"`
}

// Recordings is a page of recordings.
type Recordings struct {
	Recordings    []Recording `json:"recordings"`
	NextPageToken string      `json:"next_page_token,omitempty"`
}

// Upload is how far a resumable upload is.
type Upload struct {
	ID          string     `json:"id"`
	CallID      string     `json:"call_id,omitempty"`
	Offset      int64      `json:"offset"`
	Length      int64      `json:"length"`                // -1: not said yet
	ExpireTime  *time.Time `json:"expire_time,omitempty"` // absent when it has become a recording
	RecordingID string     `json:"recording_id,omitempty"`
}
