package policy

import (
	"regexp"
	"strings"
)

// Verb is what a command asks for.
type Verb string

// The verbs. All but help are written after the slash as they are here; help is
// `/portcullis help`.
const (
	VerbApprove    Verb = "approve"
	VerbReject     Verb = "reject"
	VerbUnapprove  Verb = "unapprove"
	VerbKillSwitch Verb = "killswitch"
	VerbCredential Verb = "credential"
	VerbSandbox    Verb = "sandbox"
	VerbTier       Verb = "tier"
	VerbHelp       Verb = "help"
)

// IsVote reports whether the command gives, or takes back, a verdict.
func (v Verb) IsVote() bool { return v == VerbApprove || v == VerbReject || v == VerbUnapprove }

// Command is one slash command out of a comment or a review. Who may give it is
// not decided here.
type Command struct {
	Verb Verb
	// SHA is the commit that an approval names, in lower case, 7 to 40
	// hexadecimal digits; "": the head that the author could see.
	SHA string
	// Reason is the rest of a rejection's line.
	Reason string
	// Args are the words after killswitch, credential and sandbox.
	Args []string
	// Fault, if not empty, says in one sentence how the command is written: it
	// was understood, but its arguments are wrong and it must have no effect.
	Fault string
}

// Usage is one form of a command and what it does.
type Usage struct {
	Verb         Verb
	Form, Effect string
}

// Usages lists every form of every command, in the order in which help shows
// them. The caller may change what it gets.
func Usages() []Usage {
	return []Usage{
		{VerbApprove, "/approve [SHA]", "approve the head commit you can see, or the commit you name"},
		{VerbReject, "/reject [reason]", "veto the pull request until you approve or withdraw"},
		{VerbUnapprove, "/unapprove", "withdraw your own approval or veto"},
		{VerbTier, "/tier", "explain how much review this pull request needs, and why"},
		{VerbKillSwitch, "/killswitch [pr|repo|org|agents] <reason>", "stop merges, credentials and sandboxes; the repository's unless you say otherwise"},
		{VerbKillSwitch, "/killswitch off [pr|repo|org|agents] [reason]", "ask to start again"},
		{VerbKillSwitch, "/killswitch status", "tell whether the switch is on, and why"},
		{VerbCredential, "/credential issue NAME [ttl]", "lend a credential that the policy names"},
		{VerbCredential, "/credential revoke ID|NAME", "end a credential now"},
		{VerbCredential, "/credential list", "list the credentials that are lent"},
		{VerbSandbox, "/sandbox start [codespaces|docker]", "start a sandbox on the head commit"},
		{VerbSandbox, "/sandbox exec ID COMMAND", "run a command in a sandbox"},
		{VerbSandbox, "/sandbox stop ID", "destroy a sandbox"},
		{VerbSandbox, "/sandbox list", "list the sandboxes that run"},
		{VerbHelp, "/portcullis help", "list the commands"},
	}
}

// parseCommand reads one line that begins with a slash; false if it is no
// command of ours.
func parseCommand(line string) (Command, bool) {
	word, rest := line, ""
	if i := strings.IndexAny(line, " \t"); i >= 0 {
		word, rest = line[:i], strings.TrimSpace(line[i:])
	}
	args := strings.Fields(rest)
	switch strings.ToLower(word) {
	case "/approve":
		return approveCommand(args), true
	case "/reject":
		return Command{Verb: VerbReject, Reason: rest}, true
	case "/unapprove":
		return wordless(VerbUnapprove, "/unapprove", args), true
	case "/tier":
		return wordless(VerbTier, "/tier", args), true
	case "/killswitch":
		return killSwitchCommand(args), true
	case "/credential":
		return subcommand(VerbCredential, args, "issue", "revoke", "list"), true
	case "/sandbox":
		return sandboxCommand(rest, args), true
	case "/portcullis":
		return helpCommand(args), true
	default:
		return Command{}, false
	}
}

var shaPattern = regexp.MustCompile(`^[0-9a-fA-F]{7,40}$`)

func approveCommand(args []string) Command {
	c := Command{Verb: VerbApprove}
	switch {
	case len(args) == 0:
	case len(args) == 1 && shaPattern.MatchString(args[0]):
		c.SHA = strings.ToLower(args[0])
	default:
		c.Fault = "Write `/approve` alone on its line, or `/approve SHA` with 7 to 40 digits of the commit you have reviewed."
	}
	return c
}

func wordless(verb Verb, form string, args []string) Command {
	c := Command{Verb: verb}
	if len(args) > 0 {
		c.Fault = "Write `" + form + "` alone on its line."
	}
	return c
}

// killSwitchCommand refuses nothing but silence: a stop must not fail on its
// wording.
func killSwitchCommand(args []string) Command {
	c := Command{Verb: VerbKillSwitch, Args: args}
	if len(args) == 0 {
		c.Fault = "Say why, as in `/killswitch repo leaked token`, or write `/killswitch off` or `/killswitch status`."
	}
	return c
}

func subcommand(verb Verb, args []string, known ...string) Command {
	c := Command{Verb: verb, Args: args}
	for _, k := range known {
		if len(args) > 0 && strings.EqualFold(args[0], k) {
			return c
		}
	}
	c.Fault = "Write " + formsOf(verb) + "."
	return c
}

// formsOf lists a verb's forms in a sentence.
func formsOf(verb Verb) string {
	var forms []string
	for _, u := range Usages() {
		if u.Verb == verb {
			forms = append(forms, "`"+u.Form+"`")
		}
	}
	last := len(forms) - 1
	return strings.Join(forms[:last], ", ") + " or " + forms[last]
}

func helpCommand(args []string) Command {
	c := Command{Verb: VerbHelp}
	if len(args) > 1 || len(args) == 1 && !strings.EqualFold(args[0], "help") {
		c.Fault = "Write `/portcullis help` to list the commands; each of them begins with a slash of its own."
	}
	return c
}
