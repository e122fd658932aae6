package data

import "time"

// Segment is what one speaker said without a break.
type Segment struct {
	Speaker    string  `json:"speaker,omitempty"`
	StartMS    int64   `json:"start_ms"` // from the beginning of the recording
	EndMS      int64   `json:"end_ms"`
	Text       string  `json:"text"`
	Confidence float64 `json:"confidence,omitempty"` // 0…1
}

// NewTranscript is a transcript as POST /v1/transcripts takes it.
type NewTranscript struct {
	CallID      string    `json:"call_id,omitempty"`
	RecordingID string    `json:"recording_id,omitempty"`
	Language    string    `json:"language,omitempty"` // BCP 47
	Segments    []Segment `json:"segments"`
}

// Transcript is a transcript; its segments are absent in lists.
type Transcript struct {
	ID           string    `json:"id"`
	CallID       string    `json:"call_id,omitempty"`
	RecordingID  string    `json:"recording_id,omitempty"`
	Language     string    `json:"language,omitempty"`
	SegmentCount int       `json:"segment_count"`
	SpeakerCount int       `json:"speaker_count"`
	DurationMS   int64     `json:"duration_ms"`
	CreateTime   time.Time `json:"create_time"`
	State        string    `json:"state,omitempty"` // of a new one: stored, duplicate
	Region       string    `json:"region"`
	Segments     []Segment `json:"segments,omitempty"`
}

// Transcripts is a page of transcripts.
type Transcripts struct {
	Transcripts   []Transcript `json:"transcripts"`
	NextPageToken string       `json:"next_page_token,omitempty"`
}

// TranscriptSearch is the body of POST /v1/transcripts:search: words that people
// said never stand in a URL. Query has words and "phrases"; all must be found.
type TranscriptSearch struct {
	Query     string     `json:"query"`
	CallID    string     `json:"call_id,omitempty"`
	Start     *time.Time `json:"start,omitempty"`
	End       *time.Time `json:"end,omitempty"`
	PageSize  int        `json:"page_size,omitempty"`
	PageToken string     `json:"page_token,omitempty"`
}

// TranscriptMatch is a transcript that was found, and where.
type TranscriptMatch struct {
	Transcript Transcript     `json:"transcript"`
	Matches    []SegmentMatch `json:"matches"` // at most 20
}

// SegmentMatch is a segment that holds a word or phrase of the query.
type SegmentMatch struct {
	Number int `json:"number"` // of the segment, from 0
	Segment
}

// TranscriptMatches is a page of a search. It may be short, even empty, and have
// a token: then there is more to look at.
type TranscriptMatches struct {
	Results       []TranscriptMatch `json:"results"`
	NextPageToken string            `json:"next_page_token,omitempty"`
}
