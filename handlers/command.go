package handlers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/policy"
)

// Reactions to a comment with commands in it.
const (
	reactionSeen    = "eyes"
	reactionDone    = "+1"
	reactionRefused = "confused"
)

// speech is a text by a person that may hold commands.
type speech struct {
	gate.Said
	about policy.PullRequestRef
	// comment is the id to react to; zero for a review, which takes no reactions.
	comment int64
}

// answer is what a command is answered with.
type answer struct {
	// refused is the sentence of a refusal; empty if the command was carried out.
	refused string
	// reply is a comment to post; empty: the reaction says it all.
	reply string
	// later is true if what comes of it is told later.
	later bool
}

// holdsCommands reports whether the text has a command about the pull request;
// those about the kill switch are work of their own.
func holdsCommands(text string) bool {
	return slices.ContainsFunc(policy.ParseCommands(text), func(c policy.Command) bool { return c.Verb != policy.VerbKillSwitch })
}

// obey records the votes of a text, and answers each of its commands once the
// pull request has been decided. Bots and the App itself never command.
func (d *Door) obey(ctx context.Context, s speech) (Answer, error) {
	commands := policy.ParseCommands(s.Body)
	if !holdsCommands(s.Body) || s.By.Kind != policy.KindUser {
		return Answer(nil), nil
	}
	// Facts come before courtesies: a conversation that is locked takes neither
	// reactions nor replies, and must not keep a veto from being recorded.
	refused, err := d.config.Gate.RecordText(ctx, s.about, s.Said)
	if err != nil {
		return nil, fmt.Errorf("record what %s says: %w", s.Text, err)
	}
	seen := make(chan error, 1)
	go func() { seen <- d.react(ctx, s, reactionSeen) }()
	return func(ctx context.Context, decision policy.Decision, undecided error) error {
		if err := errors.Join(<-seen, undecided); err != nil {
			return err
		}
		for i, command := range commands {
			if command.Verb == policy.VerbKillSwitch && i < policy.MaxCommands {
				continue
			}
			if i == policy.MaxCommands {
				return d.give(ctx, s, i, command, answer{refused: fmt.Sprintf("Only the first %d commands of a comment are carried out.", policy.MaxCommands)})
			}
			a, err := d.reply(ctx, s, i, command, refused[i], decision)
			if err == nil {
				err = d.give(ctx, s, i, command, a)
			}
			if err != nil {
				return fmt.Errorf("answer /%s in %s: %w", command.Verb, s.Text, err)
			}
		}
		return nil
	}, nil
}

// reply says what came of a command, and carries out one that is about credentials
// or sandboxes.
func (d *Door) reply(ctx context.Context, s speech, index int, command policy.Command, refused error, decision policy.Decision) (answer, error) {
	if command.Verb == policy.VerbCredential && command.Fault == "" && refused == nil {
		return d.credential(ctx, s, index, command)
	}
	if command.Verb == policy.VerbSandbox && command.Fault == "" && refused == nil {
		return d.sandbox(ctx, s, index, command)
	}
	return reply(s.Text.Source(index), command, refused, decision), nil
}

// reply says what came of a command about the decision.
func reply(source string, command policy.Command, refused error, decision policy.Decision) answer {
	switch {
	case command.Fault != "":
		return answer{refused: command.Fault}
	case refused != nil:
		return answer{refused: refused.Error() + "."}
	}
	switch command.Verb {
	case policy.VerbApprove, policy.VerbReject:
		if counts, why := decision.VoteOutcome(source); !counts {
			return answer{refused: discounted(command.Verb, why, decision)}
		}
		return answer{}
	case policy.VerbUnapprove:
		return answer{}
	case policy.VerbTier:
		return answer{reply: decision.Explain()}
	case policy.VerbHelp:
		return answer{reply: help()}
	default:
		return answer{refused: fmt.Sprintf("`/%s` is not enabled on this server.", command.Verb)}
	}
}

// discounted says in one sentence why a vote does not count and whose would.
func discounted(verb policy.Verb, why string, decision policy.Decision) string {
	sentence := fmt.Sprintf("This `/%s` does not count: %s.", verb, why)
	if verb == policy.VerbApprove && decision.Outcome == policy.OutcomeWaiting {
		sentence += fmt.Sprintf(" Still needed: %s.", decision.Title())
	}
	return sentence
}

func (d *Door) give(ctx context.Context, s speech, index int, command policy.Command, a answer) error {
	return d.say(ctx, s, s.Text.Source(index), command.Verb, a)
}

// say answers, once under each key.
func (d *Door) say(ctx context.Context, s speech, key string, verb policy.Verb, a answer) error {
	if a.later {
		return nil
	}
	reaction, reply := reactionDone, a.reply
	if a.refused != "" {
		reaction, reply = reactionRefused, "@"+s.By.Login+" "+a.refused
		if err := d.config.Gate.Refuse(ctx, s.about, s.By, string(verb), a.refused); err != nil {
			return err
		}
	}
	if err := d.react(ctx, s, reaction); err != nil {
		return err
	}
	if reply == "" {
		return nil
	}
	return d.config.GitHub.Reply(ctx, s.about, key, s.At, reply)
}

func (d *Door) react(ctx context.Context, s speech, reaction string) error {
	if s.comment == 0 {
		return nil
	}
	return d.config.GitHub.React(ctx, s.about.Repository, s.comment, reaction)
}

// help lists the commands.
func help() string {
	var b strings.Builder
	b.WriteString("One command a line, at the line's start:\n\n| command | effect |\n|---|---|\n")
	for _, usage := range policy.Usages() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", strings.ReplaceAll(usage.Form, "|", "\\|"), usage.Effect)
	}
	return b.String()
}
