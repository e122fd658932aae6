package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// The history file says what became of each generation, and whether the present one is
// to end. It holds no secret. Losing it loses dates and what was asked, no keys.
const (
	historyFile = "history"
	maxHistory  = 4096 // generations that are told apart; five years at two a day
)

// longestDelay is assumed of a custodian whose answer was lost; no key service
// keeps a deleted key longer.
const longestDelay = 30 * 24 * time.Hour

type fate struct {
	Generation uint64    `json:"generation"`
	Created    time.Time `json:"created,omitzero"`
	Retired    time.Time `json:"retired,omitzero"`
	Destroyed  time.Time `json:"destroyed,omitzero"`
	Final      time.Time `json:"final,omitzero"`
}

type history struct {
	// Floor stands for every generation up to it that is not listed: all are destroyed.
	Floor uint64 `json:"floor,omitempty"`
	// FloorFinal is the latest of their final times.
	FloorFinal  time.Time `json:"floor_final,omitzero"`
	Generations []fate    `json:"generations"`
	// Asked: Retire asked for a rotation that has not come to its end. Whoever asked
	// has noted that, and does not ask again after a crash.
	Asked bool `json:"asked,omitempty"`
}

func readHistory(dir string) (*history, error) {
	raw, err := os.ReadFile(filepath.Join(dir, historyFile))
	if errors.Is(err, os.ErrNotExist) {
		return &history{}, nil
	}
	if err != nil {
		return nil, err
	}
	h := &history{}
	if err := json.Unmarshal(raw, h); err != nil {
		return nil, fmt.Errorf("%s of the keyring: %w: %w", historyFile, errChanged, err)
	}
	return h, nil
}

func (h *history) of(gen uint64) *fate {
	for i := range h.Generations {
		if h.Generations[i].Generation == gen {
			return &h.Generations[i]
		}
	}
	return nil
}

// at is of, made when absent; generations come in order.
func (h *history) at(gen uint64) *fate {
	if f := h.of(gen); f != nil {
		return f
	}
	i := len(h.Generations)
	for i > 0 && h.Generations[i-1].Generation > gen {
		i--
	}
	h.Generations = append(h.Generations, fate{})
	copy(h.Generations[i+1:], h.Generations[i:])
	h.Generations[i] = fate{Generation: gen}
	return &h.Generations[i]
}

// reconcile makes the history say what the sheets say: those with a sheet are
// not destroyed, those without one that are older than the current are, since a
// sheet goes only after its key.
func (h *history) reconcile(s *sheet, withSheet []uint64, now time.Time) {
	has := map[uint64]bool{}
	for _, gen := range withSheet {
		has[gen] = true
	}
	for gen := h.Floor + 1; gen < s.generation; gen++ {
		f := h.at(gen)
		if f.Retired.IsZero() {
			f.Retired = now
		}
		if has[gen] {
			f.Destroyed, f.Final = time.Time{}, time.Time{}
		} else if f.Destroyed.IsZero() {
			f.Destroyed, f.Final = now, now.Add(longestDelay)
		}
	}
	h.at(s.generation).Created = s.created
}

func (h *history) save(p *places, now time.Time) error {
	for len(h.Generations) > maxHistory {
		first := h.Generations[0]
		if first.Final.IsZero() || first.Final.After(now) {
			break
		}
		h.Floor = first.Generation
		if first.Final.After(h.FloorFinal) {
			h.FloorFinal = first.Final
		}
		h.Generations = h.Generations[1:]
	}
	raw, err := json.MarshalIndent(h, "", " ")
	if err != nil {
		return err
	}
	return p.writeWhole(historyFile, append(raw, '\n'))
}

// Fate implements store.Keys.
func (k *Keyring) Fate(gen uint64) (store.KeyFate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if gen == 0 || gen > k.sheet.generation+1 {
		return store.KeyFate{}, policy.Errorf(policy.Internal, "key generation %d is not in this keyring: is it the keyring of these records?", gen)
	}
	return k.history.fate(gen), nil
}

// fate adds what only all generations together say: when it is final.
func (h *history) fate(gen uint64) store.KeyFate {
	out := store.KeyFate{Generation: gen, Final: h.FloorFinal}
	if gen <= h.Floor {
		out.Destroyed = h.FloorFinal
		return out
	}
	f := h.of(gen)
	if f == nil { // it is about to begin
		out.Final = time.Time{}
		return out
	}
	out.Created, out.Retired, out.Destroyed = f.Created, f.Retired, f.Destroyed
	for _, f := range h.Generations {
		if f.Generation > gen {
			break
		}
		if f.Destroyed.IsZero() {
			out.Final = time.Time{}
			break
		}
		for _, t := range []time.Time{f.Final, f.Destroyed.Add(policy.KeysFor)} {
			if t.After(out.Final) {
				out.Final = t
			}
		}
	}
	return out
}

// Generations is what became of every generation that is still told apart, oldest first.
func (k *Keyring) Generations() []store.KeyFate {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := make([]store.KeyFate, 0, len(k.history.Generations))
	for _, f := range k.history.Generations {
		out = append(out, k.history.fate(f.Generation))
	}
	return out
}
