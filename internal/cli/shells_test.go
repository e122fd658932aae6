package cli_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// shells ask a real shell what it offers after a line that was begun. $1 is the file
// with the completion, $2 the line. PowerShell cannot be had here: that
// its script is made is all that help.txtar shows of it.
var shells = map[string]string{
	"bash": `_init_completion() { words=("${COMP_WORDS[@]}"); cword=$COMP_CWORD; cur=${words[cword]}; prev=${words[cword-1]}; }
source "$1"
COMP_LINE="domicile $2" COMP_POINT=$((9 + ${#2}))
eval "COMP_WORDS=(domicile $2)"
[ "${2: -1}" = " " ] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
__start_domicile
printf '%s\n' "${COMPREPLY[@]}"`,
	"zsh": `compdef() { :; }
source "$1"
_describe() { for a in "$@"; do [[ $a == completions ]] && print -l -- "${completions[@]}"; done; return 0; }
words=(domicile ${(z)2}); [[ $2 == *' ' ]] && words+=('')
CURRENT=$#words
_domicile`,
	"fish": `source $argv[1]
complete -C "domicile $argv[2]"`,
}

// completes LINE WORD: each shell offers the word after the line. A shell that is
// missing is named, and fails with DOMICILE_NEED_SHELLS.
func completes(ts *testscript.TestScript, _ bool, args []string) {
	for shell, script := range shells {
		program, err := exec.LookPath(shell)
		if err != nil {
			if os.Getenv("DOMICILE_NEED_SHELLS") != "" {
				ts.Fatalf("%s is missing, and DOMICILE_NEED_SHELLS demands it", shell)
			}
			ts.Logf("SKIPPED: %s is missing: completion in it is not tested here", shell)
			continue
		}
		ts.Check(ts.Exec("domicile", "completion", shell))
		file := ts.MkAbs("completion." + shell)
		ts.Check(os.WriteFile(file, []byte(ts.ReadFile("stdout")), 0o600))
		command := []string{"-c", script, shell, file, args[0]}
		switch shell {
		case "fish":
			command = []string{"--no-config", "-c", script, file, args[0]}
		case "zsh":
			command = append([]string{"-f"}, command...)
		case "bash":
			command = append([]string{"--norc"}, command...)
		}
		ts.Check(ts.Exec(program, command...))
		offered := false
		for line := range strings.Lines(ts.ReadFile("stdout")) {
			word := strings.FieldsFunc(strings.TrimSpace(line), func(r rune) bool { return strings.ContainsRune(" \t:", r) })
			offered = offered || len(word) > 0 && word[0] == args[1]
		}
		if !offered {
			ts.Fatalf("%s (%s) does not offer %q after %q, but:\n%s\n%s", shell, filepath.Base(program), args[1], args[0], ts.ReadFile("stdout"), ts.ReadFile("stderr"))
		}
	}
}
