// Package intake turns what call systems send into canonical records: the
// FreeSWITCH, Kamailio, Asterisk and Twilio feeds, and the native JSON of
// POST /v1/calls and calls:batch.
//
// A feed must survive its source. The declared content type is never trusted:
// the body's first bytes say what it is. What cannot be parsed is yielded with
// a [Problem] and its payload, to be quarantined, because sources throw away
// what is answered with 4xx. Only a broken stream, or an item beyond
// [MaxItem], is an error of the whole request.
//
// Parsing is streamed: one record at a time where the format is a stream (JSON
// lines, JSON arrays, CSV). Records alias the blocks that they were read from;
// those are never reused, so a record may be kept.
//
// Problems, like every error here, come from a closed vocabulary and never
// repeat a byte of the payload, because they are logged.
package intake
