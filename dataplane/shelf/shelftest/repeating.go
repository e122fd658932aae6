package shelftest

import (
	"errors"

	"github.com/domicile-io/domicile/dataplane/lease"
	"github.com/domicile-io/domicile/dataplane/shelf"
)

// Repeating is a shelf of which every transaction runs twice, from the start: the
// first ends with collision, after all of it was read: postgres.Collision is what a
// database says that has it run again. Whatever is collected over the two is in an
// answer twice.
func Repeating(s shelf.Shelf, collision error) shelf.Shelf { return Repeated{s, collision} }

// Repeated is what Repeating makes.
type Repeated struct {
	shelf.Shelf
	collision error
}

func (r Repeated) Under(f lease.Fence) shelf.Shelf { return Repeated{r.Shelf.Under(f), r.collision} }

func (r Repeated) View(read func(shelf.Tx) error) error {
	return twice(r.Shelf.View, read, r.collision)
}

func (r Repeated) Update(change func(shelf.Tx) error) error {
	return twice(r.Shelf.Update, change, r.collision)
}

func twice(run func(func(shelf.Tx) error) error, do func(shelf.Tx) error, collision error) error {
	met := false
	once := func(tx shelf.Tx) error {
		err := do(tx)
		if !met {
			met = true
			return collision
		}
		return err
	}
	err := run(once)
	if errors.Is(err, collision) { // a file repeats nothing by itself
		err = run(once)
	}
	return err
}
