package replica

import (
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/domicile-io/domicile/controlplane/store"
)

// replayBatch is how many entries are applied at once when a voter starts.
const replayBatch = 512

// replay brings the state to where a process of this voter that was killed had shown
// it. The store commits less often than it applies (store/gather.go) and keeps a mark
// of what it has applied; that much is committed in the Raft log, which is on our
// disk. So nobody is answered with less than he was shown, and no leader is waited
// for. Raft sends the entries again, and the store passes over them.
func replay(d *disk, s *store.Store) error {
	applied, _ := s.Applied()
	r := &Replica{o: Options{Store: s}, disk: d}
	for next, shown := applied+1, s.Shown(); next <= shown; {
		var logs []*raft.Log
		for ; next <= shown && len(logs) < replayBatch; next++ {
			l := new(raft.Log)
			if err := d.GetLog(next, l); err != nil {
				return fmt.Errorf("entry %d was applied before this voter was killed, and cannot be read from its Raft log: %w", next, err)
			}
			if l.Type == raft.LogCommand || l.Type == raft.LogConfiguration { // as Raft does
				logs = append(logs, l)
			}
		}
		if len(logs) == 0 {
			continue
		}
		if _, err := (fsm{r}).apply(logs); err != nil {
			return fmt.Errorf("apply again what was applied before this voter was killed: %w", err)
		}
	}
	return nil
}
