package cli_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/domicile-io/domicile/internal/cli"
	"github.com/domicile-io/domicile/internal/dev"
)

// TestMain lets the scripts run this test binary as "domicile", wired as its
// main is: the commands run as processes of their own against real listeners.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"domicile": func() {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		code := cli.Run(ctx, os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
		stop()
		os.Exit(code)
	}})
}

// TestScripts runs each script against one environment. Scripts place tenants
// of their own, so that they may run side by side.
func TestScripts(t *testing.T) {
	e, err := dev.Start(context.Background(), dev.Options{Dir: t.TempDir(), ExportWindow: time.Second, ExportInterval: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Run("scripts", func(t *testing.T) { // so that Close waits for parallel scripts
		testscript.Run(t, testscript.Params{
			Dir: "testdata/script",
			Setup: func(env *testscript.Env) error {
				for _, v := range e.Variables() {
					env.Setenv(v[0], v[1])
				}
				env.Setenv("HOME", env.WorkDir)
				env.Setenv("DEV_ENV_FILE", e.EnvFile())
				return nil
			},
			Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "keyvar": keyvar, "await": await, "recipient": recipient, "operation": operation, "hold": hold, "receipt": receipt, "sound": sound, "recording": recording, "callid": callid, "completes": completes, "lies": lies},
		})
	})
}

// exits CODE COMMAND…: run a command and compare its exit code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		got = failed.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// keyvar NAME TENANT ROLE: make a key and put it in a variable.
func keyvar(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(ts.Exec("domicile", "keys", "create", args[1], "--role", args[2]))
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}

// sound FILE: write a WAV of a second of silence.
func sound(ts *testscript.TestScript, _ bool, args []string) {
	wav := make([]byte, 44+16000)
	copy(wav, "RIFF\xa4\x3e\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data\x80\x3e\x00\x00")
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), wav, 0o600))
}

// recording: put the id of the only recording in $RECORDING.
func recording(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(ts.Exec("domicile", "recordings", "list"))
	ts.Setenv("RECORDING", regexp.MustCompile("RE[0-9a-f]{32}").FindString(ts.ReadFile("stdout")))
}

// recipient FILE: put the public key of a backup key pair in $RECIPIENT.
func recipient(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv("RECIPIENT", strings.TrimSpace(ts.ReadFile(args[0])))
}

// operation KIND: put the id of the newest operation of a kind in $OPERATION.
func operation(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(ts.Exec("domicile", "operations", "list", "--all", "--filter", "kind = "+args[0]))
	ts.Setenv("OPERATION", regexp.MustCompile("OP[0-9a-f]{32}").FindString(ts.ReadFile("stdout")))
}

// callid: put the id of the call to +442079460001 in $CALL.
func callid(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(ts.Exec("domicile", "records", "search", "+442079460001"))
	ts.Setenv("CALL", regexp.MustCompile("CA[0-9a-f]{32}").FindString(ts.ReadFile("stdout")))
}

// hold: put the id of the only legal hold in $HOLD.
func hold(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(ts.Exec("domicile", "subjects", "holds", "list"))
	ts.Setenv("HOLD", regexp.MustCompile("LH[0-9a-f]{32}").FindString(ts.ReadFile("stdout")))
}

// receipt: put the id of the receipt in what was printed last in $RECEIPT.
func receipt(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Setenv("RECEIPT", regexp.MustCompile("RC[0-9a-f]{32}").FindString(ts.ReadFile("stdout")))
}

// await FILE: wait until a file is there, at most 30 s.
func await(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(filepath.Clean(path)); err == nil {
			return
		}
	}
	ts.Fatalf("%s did not appear", args[0])
}
