package media

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/domicile-io/domicile/policy"
)

// Format is a kind of sound file, of a closed list.
type Format string

// The formats.
const (
	WAV  Format = "wav"  // RIFF WAVE, RF64
	Opus Format = "opus" // Opus in Ogg (RFC 7845)
	MP3  Format = "mp3"  // MPEG-1/2/2.5 layer III, with or without ID3v2
)

// sniffBytes is how much of a file's beginning is looked at: room for two
// frames of MP3.
const sniffBytes = 4 << 10

// minFirst is how much of a recording its first part must hold when more follow.
const minFirst = 512

// MediaType is what a file of the format is served as; "" for no format.
func (f Format) MediaType() string {
	switch f {
	case WAV:
		return "audio/wav"
	case Opus:
		return "audio/ogg"
	case MP3:
		return "audio/mpeg"
	}
	return ""
}

// Extension is how a file of the format is called.
func (f Format) Extension() string {
	if f == Opus {
		return "ogg"
	}
	return string(f)
}

// sniff tells the format from the first bytes of a file, whatever the client
// says it is; "" when it is none that is taken.
func sniff(head []byte) Format {
	switch {
	case len(head) >= 20 && (bytes.HasPrefix(head, []byte("RIFF")) || bytes.HasPrefix(head, []byte("RF64"))) && string(head[8:12]) == "WAVE":
		return WAV
	case len(head) >= 47 && bytes.HasPrefix(head, []byte("OggS\x00\x02")) && head[26] == 1 && string(head[28:36]) == "OpusHead":
		return Opus
	case isMP3(head):
		return MP3
	}
	return ""
}

func unsupported() error {
	return policy.Errorf(policy.UnsupportedMediaType, "the content is not a WAV, Ogg/Opus or MP3 file, whatever its name or declared type; send one of these")
}

// isMP3 wants an ID3v2 tag (id3.org, 2.2 to 2.4), or two frame headers, one
// where the other's frame ends: a single one is found in any noise.
func isMP3(head []byte) bool {
	if len(head) >= 10 && string(head[:3]) == "ID3" {
		return head[3] >= 2 && head[3] <= 4 && (head[6]|head[7]|head[8]|head[9])&0x80 == 0
	}
	first, ok := mp3Frame(head)
	if !ok {
		return false
	}
	second, ok := mp3Frame(head[min(first.size, len(head)):])
	return ok && second.rate == first.rate
}

// mp3Header is what one frame header says (ISO 11172-3 and 13818-3).
type mp3Header struct {
	size, rate, channels int
}

var (
	mp3Rates    = [4][3]int{{11025, 12000, 8000}, {}, {22050, 24000, 16000}, {44100, 48000, 32000}} // by version
	mp3BitsV1   = [15]int{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320}         // kbit/s
	mp3BitsV2   = [15]int{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160}
	mp3MonoMode = byte(3)
)

func mp3Frame(b []byte) (h mp3Header, ok bool) {
	if len(b) < 4 || b[0] != 0xFF || b[1]&0xE0 != 0xE0 {
		return h, false
	}
	version, layer, bits, rate := b[1]>>3&3, b[1]>>1&3, b[2]>>4, b[2]>>2&3
	if version == 1 || layer != 1 || bits == 0 || bits == 15 || rate == 3 {
		return h, false
	}
	h.rate, h.channels = mp3Rates[version][rate], 2
	if b[3]>>6 == mp3MonoMode {
		h.channels = 1
	}
	padding := int(b[2] >> 1 & 1)
	if version == 3 {
		h.size = 144_000*mp3BitsV1[bits]/h.rate + padding
	} else {
		h.size = 72_000*mp3BitsV2[bits]/h.rate + padding
	}
	return h, true
}

// sound is what a file says of itself; zero where it does not.
type sound struct {
	channels int
	duration time.Duration
}

// describe reads channels and duration from the beginning and the end of a
// file. A file that is damaged or says nothing has zeros: it is kept as it is.
func describe(f Format, head, tail []byte, size int64) (s sound) {
	switch f {
	case WAV:
		return describeWAV(head, size)
	case Opus:
		return describeOpus(head, tail)
	case MP3:
		if h, ok := mp3Frame(head); ok {
			s.channels = h.channels
		}
	}
	return s
}

// describeWAV walks the chunks of a RIFF file (Microsoft's RIFF MCI, 1991) to
// fmt and data. A data chunk that claims more than there is (a recorder that
// streamed, or crashed) is as long as the file.
func describeWAV(head []byte, size int64) (s sound) {
	bytesPerSecond := int64(0)
	for at := 12; at+8 <= len(head); {
		name, length := string(head[at:at+4]), int64(binary.LittleEndian.Uint32(head[at+4:]))
		body := head[at+8:]
		switch {
		case name == "fmt " && len(body) >= 16:
			s.channels = int(binary.LittleEndian.Uint16(body[2:]))
			bytesPerSecond = int64(binary.LittleEndian.Uint32(body[8:]))
		case name == "data" && bytesPerSecond > 0:
			length = min(length, size-int64(at)-8)
			s.duration = time.Duration(float64(length) / float64(bytesPerSecond) * float64(time.Second)).Round(time.Millisecond)
			return s
		}
		next := int64(at) + 8 + length + length&1
		if next > int64(len(head)) {
			return s
		}
		at = int(next)
	}
	return s
}

// describeOpus takes channels and pre-skip from OpusHead (RFC 7845 section 5.1)
// and the length, in samples of 48 kHz, from the last page's granule position.
func describeOpus(head, tail []byte) (s sound) {
	if len(head) < 47 {
		return s
	}
	s.channels = int(head[37])
	skip := int64(binary.LittleEndian.Uint16(head[38:]))
	last := bytes.LastIndex(tail, []byte("OggS\x00"))
	if last < 0 || last+27 > len(tail) {
		return s
	}
	if granule := int64(binary.LittleEndian.Uint64(tail[last+6:])); granule > skip {
		s.duration = (time.Duration(granule-skip) * time.Second / 48_000).Round(time.Millisecond)
	}
	return s
}
