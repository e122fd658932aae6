package awstest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// What the stand-in knows of its one caller.
const (
	AccessKey = "AKIDTESTTESTTESTTEST"
	Secret    = "a secret of tests and of nothing else"
	account   = "111122223333"
)

// KMS speaks AWS JSON 1.1 over TLS as the key service of one region: CreateKey,
// DescribeKey, GenerateDataKey, Decrypt, ScheduleKeyDeletion. It checks signature
// and scope, encryption context, key id and key state.
type KMS struct {
	Region string
	URL    string // https
	CA     string // file: the certificate that the server shows
	Login  string // file: credentials as a credential_process prints them

	t      testing.TB
	server *httptest.Server

	mu    sync.Mutex
	now   time.Time // of the deletion windows; the signature's is the machine's
	down  bool
	keys  map[string]*kmsKey
	Calls []Call
}

// Call is one request that was served.
type Call struct {
	Operation string
	Use       string // of the user agent, domicile-use/…
	Key       string // id
	Error     string
}

type kmsKey struct {
	id, arn string
	secret  []byte
	tags    map[string]string
	state   string // Enabled, Disabled, PendingDeletion
	deleted time.Time
}

// NewKMS starts a key service; it ends with the test.
func NewKMS(t testing.TB, region string) *KMS {
	t.Helper()
	k := &KMS{Region: region, t: t, keys: map[string]*kmsKey{}, now: time.Now()}
	k.server = httptest.NewTLSServer(http.HandlerFunc(k.serve))
	t.Cleanup(k.server.Close)
	k.URL = k.server.URL
	dir := t.TempDir()
	k.CA, k.Login = filepath.Join(dir, "ca.pem"), filepath.Join(dir, "login.json")
	write := func(path string, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(k.CA, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.server.Certificate().Raw}))
	write(k.Login, fmt.Appendf(nil, `{"Version":1,"AccessKeyId":%q,"SecretAccessKey":%q,"SessionToken":"session"}`, AccessKey, Secret))
	return k
}

// Down cuts the service off, or brings it back: connections end without an answer.
func (k *KMS) Down(down bool) {
	k.mu.Lock()
	k.down = down
	k.mu.Unlock()
	if down {
		k.server.CloseClientConnections()
	}
}

// Pass lets deletion windows run out by d.
func (k *KMS) Pass(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.now = k.now.Add(d)
	for id, key := range k.keys {
		if key.state == "PendingDeletion" && !key.deleted.After(k.now) {
			delete(k.keys, id)
		}
	}
}

// SetState changes a key's state as an administrator of the account would.
func (k *KMS) SetState(state string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range k.keys {
		if key.state != "PendingDeletion" {
			key.state = state
		}
	}
}

// States counts the keys by state.
func (k *KMS) States() map[string]int {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := map[string]int{}
	for _, key := range k.keys {
		out[key.state]++
	}
	return out
}

// Served are the calls of an operation.
func (k *KMS) Served(operation string) (out []Call) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.Calls {
		if c.Operation == operation {
			out = append(out, c)
		}
	}
	return out
}

type request struct {
	KeyID               string `json:"KeyId"`
	KeySpec             string
	MultiRegion         bool
	Tags                []struct{ TagKey, TagValue string }
	EncryptionContext   map[string]string
	CiphertextBlob      []byte
	PendingWindowInDays int
}

type refusal struct{ code, message string }

func (r *refusal) Error() string { return r.code }

func (k *KMS) serve(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.down {
		panic(http.ErrAbortHandler)
	}
	call := Call{Operation: strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "TrentService.")}
	if _, use, ok := strings.Cut(r.UserAgent(), "domicile-use/"); ok {
		call.Use, _, _ = strings.Cut(use, " ")
	}
	var in request
	body, err := checkSignature(r, AccessKey, Secret, "session", k.Region, "kms")
	var out any
	switch {
	case err != nil:
		err = &refusal{"IncompleteSignatureException", err.Error()}
	case r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-amz-json-1.1" || json.Unmarshal(body, &in) != nil:
		err = &refusal{"ValidationException", "not AWS JSON 1.1"}
	default:
		out, err = k.do(call.Operation, &in)
	}
	call.Key = in.KeyID
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if err != nil {
		call.Error = err.Error()
		message := ""
		if e, ok := err.(*refusal); ok {
			message = e.message
		}
		w.WriteHeader(http.StatusBadRequest)
		out = map[string]string{"__type": call.Error, "message": message}
	}
	k.Calls = append(k.Calls, call)
	_ = json.NewEncoder(w).Encode(out)
}

func (k *KMS) do(operation string, in *request) (any, error) {
	if operation == "CreateKey" {
		return k.create(in)
	}
	key := k.keys[in.KeyID[strings.LastIndex(in.KeyID, "/")+1:]]
	if key == nil {
		return nil, &refusal{"NotFoundException", "no such key"}
	}
	if operation == "DescribeKey" {
		return map[string]any{"KeyMetadata": key.metadata()}, nil
	}
	switch {
	case key.state == "Disabled" && operation != "ScheduleKeyDeletion":
		return nil, &refusal{"DisabledException", "the key is disabled"}
	case key.state == "PendingDeletion":
		return nil, &refusal{"KMSInvalidStateException", "the key is pending deletion"}
	}
	switch operation {
	case "GenerateDataKey":
		plain := make([]byte, 32)
		_, _ = rand.Read(plain)
		return map[string]any{"KeyId": key.arn, "Plaintext": plain, "CiphertextBlob": key.seal(plain, in.EncryptionContext)}, nil
	case "Decrypt":
		plain, err := key.open(in.CiphertextBlob, in.EncryptionContext)
		return map[string]any{"KeyId": key.arn, "Plaintext": plain, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}, err
	case "ScheduleKeyDeletion":
		if in.PendingWindowInDays < 7 || in.PendingWindowInDays > 30 {
			return nil, &refusal{"ValidationException", "window"}
		}
		key.state, key.deleted = "PendingDeletion", k.now.AddDate(0, 0, in.PendingWindowInDays)
		return map[string]any{"KeyId": key.arn, "DeletionDate": float64(key.deleted.Unix()), "KeyState": key.state}, nil
	}
	return nil, &refusal{"UnknownOperationException", operation}
}

func (k *KMS) create(in *request) (any, error) {
	if in.MultiRegion || in.KeySpec != "SYMMETRIC_DEFAULT" {
		return nil, &refusal{"ValidationException", "the stand-in makes single-region symmetric keys"}
	}
	key := &kmsKey{secret: make([]byte, 32), state: "Enabled", tags: map[string]string{}}
	id := make([]byte, 16)
	_, _ = rand.Read(key.secret)
	_, _ = rand.Read(id)
	key.id = hex.EncodeToString(id)
	key.arn = "arn:aws:kms:" + k.Region + ":" + account + ":key/" + key.id
	for _, t := range in.Tags {
		key.tags[t.TagKey] = t.TagValue
	}
	k.keys[key.id] = key
	return map[string]any{"KeyMetadata": key.metadata()}, nil
}

func (k *kmsKey) metadata() map[string]any {
	m := map[string]any{"KeyId": k.id, "Arn": k.arn, "KeyState": k.state, "Enabled": k.state == "Enabled", "MultiRegion": false, "Origin": "AWS_KMS", "KeyManager": "CUSTOMER"}
	if !k.deleted.IsZero() {
		m["DeletionDate"] = float64(k.deleted.Unix())
	}
	return m
}

func (k *kmsKey) aead() cipher.AEAD {
	block, err := aes.NewCipher(k.secret)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return aead
}

func aad(context map[string]string) []byte {
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(context)) {
		fmt.Fprintf(&b, "%q=%q;", name, context[name])
	}
	return b.Bytes()
}

func (k *kmsKey) seal(plain []byte, context map[string]string) []byte {
	nonce := make([]byte, 12)
	_, _ = rand.Read(nonce)
	return k.aead().Seal(nonce, nonce, plain, aad(context))
}

func (k *kmsKey) open(sealed []byte, context map[string]string) ([]byte, error) {
	if len(sealed) < 12 {
		return nil, &refusal{"InvalidCiphertextException", ""}
	}
	plain, err := k.aead().Open(nil, sealed[:12], sealed[12:], aad(context))
	if err != nil {
		return nil, &refusal{"InvalidCiphertextException", ""}
	}
	return plain, nil
}
