//go:build pkcs11

package hsm

import (
	"fmt"
	"sync"

	"github.com/miekg/pkcs11"
)

// library is a PKCS#11 library that this process has initialised. A library is so for
// the whole process, and only once (C_Initialize), as is who is logged in to a token;
// a node whose records move to a database has two modules over one library meanwhile.
type library struct {
	path string
	ctx  *pkcs11.Ctx
	used int // modules
}

// libraries are those in use, by path: what a process has but one of.
var libraries struct {
	sync.Mutex
	open map[string]*library
}

// useLibrary initialises a library, or gives the one that is.
func useLibrary(path string) (*library, error) {
	libraries.Lock()
	defer libraries.Unlock()
	if l := libraries.open[path]; l != nil {
		l.used++
		return l, nil
	}
	l := &library{path: path, ctx: pkcs11.New(path), used: 1}
	if l.ctx == nil {
		return nil, fmt.Errorf("%s is not a PKCS#11 library", path)
	}
	if err := l.ctx.Initialize(); err != nil {
		l.ctx.Destroy()
		return nil, err
	}
	if libraries.open == nil {
		libraries.open = map[string]*library{}
	}
	libraries.open[path] = l
	return l, nil
}

// leave ends a module's use. The last one ends the library's, and every login with it:
// before, logging out would log out the others.
func (l *library) leave() error {
	libraries.Lock()
	defer libraries.Unlock()
	if l.used--; l.used > 0 {
		return nil
	}
	delete(libraries.open, l.path)
	err := l.ctx.Finalize()
	l.ctx.Destroy()
	return err
}
