package store

import "time"

// Owner is who a number stood for from Since on until Until: the zero times are
// open ends. A number that never changed hands has one owner.
type Owner struct {
	Subject  string    `json:"subject"`        // SU…: what ingest gives to records of its time
	Also     []string  `json:"also,omitempty"` // ids that calls of its time had before the change of hands was recorded
	Since    time.Time `json:"since,omitzero"`
	Until    time.Time `json:"until,omitzero"`
	Raw      bool      `json:"raw,omitempty"`      // a raw value of one feed, not a number in E.164
	Instance string    `json:"instance,omitempty"` // of a raw value
}

// Subjects are all ids under which calls of the owner stand. Which of them are
// its own, their place in time says: those in [Since, Until).
func (o *Owner) Subjects() []string {
	if o.Subject == "" {
		return o.Also
	}
	return append([]string{o.Subject}, o.Also...)
}

// Unlinking says which subjects are let go.
type Unlinking struct {
	Number   string  // where to look; "" looks at the whole index, which takes long
	Instance string  // as in Owners
	Owners   []Owner // what to let go: their ids, in their time
}

// Forgotten says whose calls, and which, must not come back.
type Forgotten struct {
	Owners []Owner  // whatever they took part in
	Calls  []string // ids; unknown ones are passed over
}
