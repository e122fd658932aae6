package sealed

// lookAhead reads the rows that say which of a group's records and parties are
// known, all at once: where the rows are in another process, one journey takes
// the place of thousands.
func (g *group) lookAhead() error {
	s := g.t.s
	if !s.engine.Shared() {
		return nil
	}
	g.ahead = map[string][]byte{}
	x := g.t.index.Load()
	var folds, subjects [][]byte
	add := func(keys *[][]byte, k kind, tag [16]byte) {
		if tag == ([16]byte{}) {
			return
		}
		key := append(x.key(nil, k, g.t.raw), tag[:tagSize]...)
		if _, ok := g.ahead[string(key)]; !ok {
			g.ahead[string(key)] = nil
			*keys = append(*keys, key)
		}
	}
	for _, j := range g.jobs {
		for i := range j.tags {
			add(&folds, kindFold, j.tags[i].fold)
			for _, party := range [...][16]byte{j.tags[i].from, j.tags[i].to} {
				if _, ok := s.subjects.find(party); !ok {
					add(&subjects, kindSubject, party)
				}
			}
		}
	}
	if err := g.readAhead(kindFold, folds); err != nil {
		return err
	}
	return g.readAhead(kindSubject, subjects)
}

func (g *group) readAhead(k kind, keys [][]byte) error {
	if len(keys) == 0 {
		return nil
	}
	values, err := g.t.s.engine.GetAll(keys)
	if err != nil {
		return g.t.s.readError(k, err)
	}
	for i, key := range keys {
		g.ahead[string(key)] = values[i]
	}
	return nil
}

// get reads one row, as it was before this group.
func (g *group) get(k kind, key []byte) ([]byte, error) {
	if value, ok := g.ahead[string(key)]; ok {
		return value, nil
	}
	return g.t.s.get(k, key)
}
