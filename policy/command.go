package policy

// Verb is what a command asks for, as it is written after the slash.
type Verb string

// The verbs.
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

// Command is one slash command out of a comment or a review.
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

func ParseCommands(markdown string) []Command { return nil }

func Usages() []Usage { return nil }
