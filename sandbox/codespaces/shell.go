package codespaces

import (
	"encoding/base64"
	"strings"
)

// SSH has no arguments, only one line that the login shell of the remote user reads. What
// is to run is therefore a script of ours with its arguments in single quotes, and all of
// that in Base64, which every shell takes as it is and which makes arguments of the
// greatest length fit.

// quote makes one word of a POSIX shell's of the text, which must have no zero byte.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// line is the line that runs a script of ours with the arguments. When it begins it says
// secret on both outputs, because a login shell may have said things before, and on
// standard error which process it is and when that began, by the clock of the kernel.
func line(secret, script string, arguments ...string) string {
	words := make([]string, len(arguments))
	for i, a := range arguments {
		words[i] = quote(a)
	}
	whole := "secret=" + quote(secret) + beginScript + "set -- " + strings.Join(words, " ") + "\n" + script
	return `exec /bin/sh -c 'eval "$(printf %s "$1" | base64 -d)"' portcullis ` + base64.StdEncoding.EncodeToString([]byte(whole))
}

const beginScript = `
printf '%s\n' "$secret"
printf '%s %s %s\n' "$secret" "$$" "$(read -r s </proc/$$/stat; set -f; set -- ${s##*) }; shift 19; echo "$1")" >&2
`

// commandMark is the variable by which what a command started is known.
const commandMark = "PORTCULLIS_COMMAND"

// runScript runs a command: MARK FOLDER COMMAND…. One that cannot be run ends with the
// secret and ! on its standard error: a shell that becomes the command cannot say it, and
// the command never sees the secret.
const runScript = `
export ` + commandMark + `="$1"
cd -- "$2" || {
	printf '%s!' "$secret" >&2
	exit 127
}
shift 2
trap 'printf "%s!" "$secret" >&2' EXIT
exec "$@"
`

// killScript ends what a command started: MARK PROCESS BEGAN, the latter two 0 if they
// are not known. What it started is what has its mark in the environment or on the
// command line, is in its session or its group, or is a child of such: that is stopped
// first, so that it makes no more, and neither parents nor children are lost. It exits
// with 0 once there is nothing of that, and nothing else either that began after the
// command and stays: whatever hid from it is reason enough to end the whole codespace.
const killScript = `
set +f
mark=$1 root=$2 since=$3
look() { # PROCESS
	{ read -r s </proc/$1/stat; } 2>/dev/null || return 1
	case "$s" in *') '?' '[0-9-]*) ;; *) s=$(cat /proc/$1/stat 2>/dev/null | tr '\n' ' ') || return 1 ;; esac
	set -f
	set -- ${s##*) }
	set +f
	[ $# -ge 20 ] || return 1
	state=$1 parent=$2 group=$3 session=$4
	shift 19
	began=$1
}
mine() { # PROCESS, which was looked at
	[ "$root" -gt 0 ] && { [ "$1" = "$root" ] || [ "$session" = "$root" ] || [ "$group" = "$root" ]; } && return 0
	case "$ours" in *" $parent "*) return 0 ;; esac
	grep -qsF -e "$mark" "/proc/$1/environ" "/proc/$1/cmdline"
}
safe=" $$ "
p=$$
while look "$p" && [ "$parent" -gt 1 ]; do
	p=$parent safe="$safe$p "
done
round=0 calm=0
while [ "$round" -lt 100 ]; do
	round=$((round + 1)) pass=0 more=1 ours=" "
	while [ "$more" = 1 ] && [ "$pass" -lt 20 ]; do
		pass=$((pass + 1)) more=0 strange=0
		for p in /proc/[0-9]*; do
			p=${p#/proc/}
			case "$safe$ours" in *" $p "*) continue ;; esac
			look "$p" || continue
			[ "$state" = Z ] && continue
			{ [ "$session" = $$ ] || [ "$parent" = $$ ]; } && continue
			if mine "$p"; then
				kill -STOP "$p" 2>/dev/null
				more=1 ours="$ours$p "
				[ "$since" -gt 0 ] || since=$began
			elif [ "$since" -gt 0 ] && [ "$began" -ge "$since" ]; then
				strange=1
			fi
		done
	done
	if [ "$ours" != " " ]; then
		calm=0
		kill -KILL $ours 2>/dev/null
		continue
	fi
	[ "$strange" = 0 ] && exit 0
	calm=$((calm + 1))
	[ "$calm" -ge 10 ] && exit 3
	sleep 0.1
done
exit 4
`

// unpackScript unpacks a tar archive from its standard input: FOLDER.
const unpackScript = `mkdir -p -- "$1" && cd -- "$1" && exec tar -xof -`

// packScript packs what is at a path: PATH. Where tar can, each name of a file comes with
// the file.
const packScript = `
h=
tar --hard-dereference -cf /dev/null /dev/null 2>/dev/null && h=--hard-dereference
if [ -d "$1" ]; then
	cd -- "$1" && exec tar $h -cf - .
fi
cd -- "${1%/*}/" && exec tar $h -cf - "./${1##*/}"
`

// headScript says which commit is checked out: FOLDER.
const headScript = `exec git -c safe.directory="$1" -C "$1" rev-parse --verify HEAD`
