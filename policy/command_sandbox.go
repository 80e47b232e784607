package policy

import (
	"slices"
	"strings"
)

// sandboxCommand reads what comes after /sandbox. What is run in one is words, as a shell
// reads them with its quotes and nothing else of a shell: no variable, no second command.
func sandboxCommand(rest string, args []string) Command {
	c := subcommand(VerbSandbox, args, "start", "exec", "stop", "list")
	if c.Fault != "" {
		return c
	}
	usage := "Write " + formsOf(VerbSandbox) + "."
	switch strings.ToLower(args[0]) {
	case "start":
		if len(args) > 2 || len(args) == 2 && !slices.Contains(sandboxProviders, strings.ToLower(args[1])) {
			c.Fault = usage
		}
	case "stop":
		if len(args) != 2 {
			c.Fault = usage
		}
	case "list":
		if len(args) > 1 {
			c.Fault = usage
		}
	case "exec":
		words, whole := shellWords(rest)
		switch {
		case !whole:
			c.Fault = "A quote in the command is not closed, or a backslash ends it: nothing was run."
		case len(words) < 3:
			c.Fault = usage
		default:
			c.Args = words
		}
	}
	return c
}

// shellWords splits a line as a shell does; false if it ends within quotes or after a
// backslash.
func shellWords(line string) (words []string, whole bool) {
	var word strings.Builder
	begun, quote, escaped := false, rune(0), false
	for _, r := range line {
		switch {
		case escaped:
			if quote == '"' && r != '"' && r != '\\' && r != '$' && r != '`' {
				word.WriteRune('\\')
			}
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			begun, escaped = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			begun, quote = true, r
		case r == ' ' || r == '\t':
			if begun {
				words = append(words, word.String())
				word.Reset()
			}
			begun = false
		default:
			begun = true
			word.WriteRune(r)
		}
	}
	if begun {
		words = append(words, word.String())
	}
	return words, quote == 0 && !escaped
}
