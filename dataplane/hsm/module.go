//go:build pkcs11

package hsm

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/miekg/pkcs11"

	"github.com/domicile-io/domicile/dataplane/store"
	"github.com/domicile-io/domicile/policy"
)

// Built reports whether this program can load a PKCS#11 library.
const Built = true

// Module keeps each generation of a region's key table under an AES-256 object of
// its own in the module: made there, sensitive, not extractable. The generation's
// key is 32 random bytes that the object seals (CKM_AES_GCM), bound to cluster,
// region and generation. Giving the generation up destroys the object, at once.
// A module has no place for the reason of a use.
type Module struct {
	o Options

	mu      sync.Mutex // one session; the key service is asked a few times an hour
	library *library
	lib     *pkcs11.Ctx // the library's, nil when the module is closed
	session pkcs11.SessionHandle
	open    bool
}

// token finds a generation's object again. It stands in the key table in the clear.
type token struct {
	ID     []byte `json:"id"` // CKA_ID
	IV     []byte `json:"iv"`
	Sealed []byte `json:"sealed"`
}

const gcmTag = 128 // bits

// Open loads the library and logs in.
func Open(o Options) (*Module, error) {
	if err := o.Config.Check(); err != nil {
		return nil, err
	}
	if o.Cluster == "" || o.Region == "" {
		return nil, errors.New("open the hardware module: cluster and region must be given")
	}
	library, err := useLibrary(o.Config.Module)
	if err != nil {
		return nil, fmt.Errorf("open the hardware module: %w", err)
	}
	m := &Module{o: o, library: library, lib: library.ctx}
	if err := m.login(); err != nil {
		return nil, errors.Join(fmt.Errorf("open the hardware module: %w", err), m.Close())
	}
	return m, nil
}

// login finds the token and opens the session. The caller holds m.mu, or is the only one yet.
func (m *Module) login() error {
	slots, err := m.lib.GetSlotList(true)
	if err != nil {
		return err
	}
	for _, slot := range slots {
		info, err := m.lib.GetTokenInfo(slot)
		if err != nil || info.Label != m.o.Config.Token {
			continue
		}
		pin, err := readPIN(m.o.Config.PINFile)
		if err != nil {
			return err
		}
		if m.session, err = m.lib.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION); err != nil {
			return err
		}
		if err := m.lib.Login(m.session, pkcs11.CKU_USER, pin); err != nil && !errors.Is(err, pkcs11.Error(pkcs11.CKR_USER_ALREADY_LOGGED_IN)) {
			_ = m.lib.CloseSession(m.session)
			return fmt.Errorf("log in to token %s: %w", m.o.Config.Token, err)
		}
		m.open = true
		return nil
	}
	return fmt.Errorf("no token is labelled %q", m.o.Config.Token)
}

// do runs f on the session, in a goroutine that a hanging module keeps and the
// caller does not wait for. A session that was lost is opened anew once.
func (m *Module) do(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	go func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		done <- m.try(f)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("the hardware module does not answer: %w", ctx.Err())
	}
}

func (m *Module) try(f func() error) error {
	if m.lib == nil {
		return errors.New("the hardware module is closed")
	}
	if !m.open {
		if err := m.login(); err != nil {
			return err
		}
	}
	err := f()
	var code pkcs11.Error
	if !errors.As(err, &code) {
		return err
	}
	switch uint(code) {
	case pkcs11.CKR_SESSION_HANDLE_INVALID, pkcs11.CKR_SESSION_CLOSED, pkcs11.CKR_USER_NOT_LOGGED_IN, pkcs11.CKR_DEVICE_REMOVED, pkcs11.CKR_TOKEN_NOT_PRESENT, pkcs11.CKR_DEVICE_ERROR:
		_ = m.lib.CloseSession(m.session)
		m.open = false
		if err := m.login(); err != nil {
			return err
		}
		return f()
	}
	return err
}

// Kind implements local.Custodian.
func (m *Module) Kind() string { return "pkcs11" }

func (m *Module) label(gen uint64) string {
	return fmt.Sprintf("domicile/%s/%s/%d", m.o.Cluster, m.o.Region, gen)
}

// Create implements local.Custodian.
func (m *Module) Create(ctx context.Context, gen uint64) (raw []byte, key [32]byte, err error) {
	t := token{ID: make([]byte, 16), IV: make([]byte, 12)}
	for _, b := range [][]byte{t.ID, t.IV, key[:]} {
		if _, err := rand.Read(b); err != nil {
			return nil, key, err
		}
	}
	err = m.do(ctx, func() error {
		object, err := m.lib.GenerateKey(m.session, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_KEY_GEN, nil)}, []*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY), pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES),
			pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, 32), pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true),
			pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true), pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false),
			pkcs11.NewAttribute(pkcs11.CKA_ENCRYPT, true), pkcs11.NewAttribute(pkcs11.CKA_DECRYPT, true),
			pkcs11.NewAttribute(pkcs11.CKA_LABEL, m.label(gen)), pkcs11.NewAttribute(pkcs11.CKA_ID, t.ID)})
		if err != nil {
			return fmt.Errorf("make an object in the hardware module: %w", err)
		}
		if err := m.confined(object); err != nil {
			return errors.Join(err, m.lib.DestroyObject(m.session, object))
		}
		params := pkcs11.NewGCMParams(t.IV, []byte(m.label(gen)), gcmTag)
		defer params.Free()
		if err := m.lib.EncryptInit(m.session, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_GCM, params)}, object); err != nil {
			return fmt.Errorf("seal in the hardware module: %w", err)
		}
		if t.Sealed, err = m.lib.Encrypt(m.session, key[:]); err != nil {
			return fmt.Errorf("seal in the hardware module: %w", err)
		}
		if iv := params.IV(); len(iv) == len(t.IV) { // some modules choose their own
			t.IV = iv
		}
		return nil
	})
	if err != nil {
		return nil, [32]byte{}, err
	}
	raw, err = json.Marshal(t)
	return raw, key, err
}

// confined refuses an object that could leave its module.
func (m *Module) confined(object pkcs11.ObjectHandle) error {
	got, err := m.lib.GetAttributeValue(m.session, object, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, nil),
		pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, nil), pkcs11.NewAttribute(pkcs11.CKA_LOCAL, nil)})
	if err != nil {
		return fmt.Errorf("look at an object of the hardware module: %w", err)
	}
	for i, want := range []byte{0, 1, 1} {
		if len(got[i].Value) != 1 || got[i].Value[0] != want {
			return errors.New("the hardware module made an object that could leave it; it is not used")
		}
	}
	return nil
}

// find gives the object of a token; ok is false where there is none.
func (m *Module) find(id []byte) (object pkcs11.ObjectHandle, ok bool, err error) {
	if err := m.lib.FindObjectsInit(m.session, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY), pkcs11.NewAttribute(pkcs11.CKA_ID, id)}); err != nil {
		return 0, false, err
	}
	found, _, err := m.lib.FindObjects(m.session, 1)
	if err = errors.Join(err, m.lib.FindObjectsFinal(m.session)); err != nil || len(found) == 0 {
		return 0, false, err
	}
	return found[0], true, nil
}

func parse(raw []byte) (t token, err error) {
	if err := json.Unmarshal(raw, &t); err != nil || len(t.ID) == 0 {
		return t, errors.Join(errors.New("the key table's token is not of pkcs11"), err)
	}
	return t, nil
}

// Unwrap implements local.Custodian.
func (m *Module) Unwrap(ctx context.Context, gen uint64, raw []byte, _ store.KeyUse) (key [32]byte, err error) {
	t, err := parse(raw)
	if err != nil {
		return key, err
	}
	var plain []byte
	err = m.do(ctx, func() error {
		object, ok, err := m.find(t.ID)
		if err != nil {
			return fmt.Errorf("look for an object of the hardware module: %w", err)
		}
		if !ok {
			return policy.Errorf(policy.Destroyed, "the generation's object in the hardware module was destroyed; what it sealed is gone for good")
		}
		params := pkcs11.NewGCMParams(t.IV, []byte(m.label(gen)), gcmTag)
		defer params.Free()
		if err := m.lib.DecryptInit(m.session, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_GCM, params)}, object); err != nil {
			return fmt.Errorf("open in the hardware module: %w", err)
		}
		plain, err = m.lib.Decrypt(m.session, t.Sealed)
		var code pkcs11.Error
		if errors.As(err, &code) && (code == pkcs11.CKR_ENCRYPTED_DATA_INVALID || code == pkcs11.CKR_GENERAL_ERROR) {
			return &policy.Error{Reason: policy.Internal, Cause: err, Message: "the hardware module does not open the generation's key: it is of another cluster, region or generation, or was changed"}
		}
		return err
	})
	if err != nil {
		return key, err
	}
	defer clear(plain)
	if len(plain) != len(key) {
		return key, fmt.Errorf("the hardware module answered with %d bytes", len(plain))
	}
	return [32]byte(plain), nil
}

// Destroy implements local.Custodian.
func (m *Module) Destroy(ctx context.Context, _ uint64, raw []byte) (time.Time, error) {
	t, err := parse(raw)
	if err != nil {
		return time.Time{}, err
	}
	err = m.do(ctx, func() error {
		object, ok, err := m.find(t.ID)
		if err != nil || !ok {
			return err
		}
		if err := m.lib.DestroyObject(m.session, object); err != nil {
			return err
		}
		if _, ok, err = m.find(t.ID); err == nil && ok {
			return errors.New("the hardware module still has the object that it was to destroy")
		}
		return err
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("destroy an object of the hardware module: %w", err)
	}
	return time.Now(), nil
}

// Close implements local.Custodian.
func (m *Module) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lib == nil {
		return nil
	}
	if m.open {
		_ = m.lib.CloseSession(m.session)
	}
	m.lib, m.open = nil, false
	return m.library.leave()
}

func readPIN(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("read the module's PIN: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s may be read by others (mode %04o): chmod 600 it", path, info.Mode().Perm())
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the module's PIN: %w", err)
	}
	return strings.TrimSpace(string(raw)), nil
}
