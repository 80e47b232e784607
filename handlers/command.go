package handlers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/policy"
)

// Reactions to a comment with commands in it.
const (
	reactionSeen    = "eyes"
	reactionDone    = "+1"
	reactionRefused = "confused"
)

// maxCommands is how many commands of one text are carried out: each costs calls
// to GitHub, and anybody may comment.
const maxCommands = 10

// speech is a text by a person that may hold commands.
type speech struct {
	about policy.PullRequestRef
	by    policy.Actor
	text  gate.Text
	body  string
	at    time.Time
	// commit is the commit that a review is about; empty for a comment.
	commit string
	// comment is the id to react to; zero for a review, which takes no reactions.
	comment int64
}

// answer is what a command is answered with.
type answer struct {
	// refused is the sentence of a refusal; empty if the command was carried out.
	refused string
	// reply is a comment to post; empty: the reaction says it all.
	reply string
}

func holdsCommands(text string) bool { return len(policy.ParseCommands(text)) > 0 }

// obey carries out the commands of a text one after the other, each answered.
// Bots and the App itself never command.
func (d *Door) obey(ctx context.Context, s speech) error {
	commands := policy.ParseCommands(s.body)
	if len(commands) == 0 || s.by.Kind != policy.KindUser {
		return nil
	}
	// Facts come before courtesies: a conversation that is locked takes neither
	// reactions nor replies, and must not keep a veto from being recorded.
	if err := d.recordAll(ctx, s, commands); err != nil {
		return err
	}
	if err := d.react(ctx, s, reactionSeen); err != nil {
		return err
	}
	for i, command := range commands {
		if i == maxCommands {
			return d.give(ctx, s, i, command, answer{refused: fmt.Sprintf("Only the first %d commands of a comment are carried out.", maxCommands)})
		}
		answer, err := d.carryOut(ctx, s, i, command)
		if err != nil {
			return fmt.Errorf("carry out /%s in %s: %w", command.Verb, s.text, err)
		}
		if err := d.give(ctx, s, i, command, answer); err != nil {
			return fmt.Errorf("answer /%s in %s: %w", command.Verb, s.text, err)
		}
	}
	return nil
}

// recordAll records the votes of a text. An approval of a commit that nobody knows
// is left to its answer.
func (d *Door) recordAll(ctx context.Context, s speech, commands []policy.Command) error {
	for i, command := range commands[:min(len(commands), maxCommands)] {
		if command.Fault != "" || !command.Verb.IsVote() {
			continue
		}
		var unknown *gate.UnknownCommitError
		if err := d.record(ctx, s, i, command); err != nil && !errors.As(err, &unknown) {
			return fmt.Errorf("record /%s in %s: %w", command.Verb, s.text, err)
		}
	}
	return nil
}

func (d *Door) carryOut(ctx context.Context, s speech, index int, command policy.Command) (answer, error) {
	if command.Fault != "" {
		return answer{refused: command.Fault}, nil
	}
	switch command.Verb {
	case policy.VerbApprove, policy.VerbReject, policy.VerbUnapprove:
		return d.vote(ctx, s, index, command)
	case policy.VerbTier:
		decision, err := d.config.Gate.Evaluate(ctx, s.about)
		return answer{reply: decision.Explain()}, err
	case policy.VerbHelp:
		return answer{reply: help()}, nil
	default:
		return answer{refused: fmt.Sprintf("`/%s` is not enabled on this server.", command.Verb)}, nil
	}
}

// vote says how a vote fared in the decision that follows from it.
func (d *Door) vote(ctx context.Context, s speech, index int, command policy.Command) (answer, error) {
	var unknown *gate.UnknownCommitError
	switch err := d.record(ctx, s, index, command); {
	case errors.As(err, &unknown):
		return answer{refused: unknown.Error() + "."}, nil
	case err != nil:
		return answer{}, err
	}
	decision, err := d.config.Gate.Evaluate(ctx, s.about)
	if err != nil || command.Verb == policy.VerbUnapprove {
		return answer{}, err
	}
	if counts, why := decision.VoteOutcome(s.text.Source(index)); !counts {
		return answer{refused: discounted(command.Verb, why, decision)}, nil
	}
	return answer{}, nil
}

// record records an approval, a rejection or a withdrawal; recorded again, it is
// the same.
func (d *Door) record(ctx context.Context, s speech, index int, command policy.Command) error {
	vote := policy.Vote{
		Source: s.text.Source(index), By: s.by, Commit: cmp.Or(command.SHA, s.commit), At: s.at, Reason: command.Reason,
	}
	switch command.Verb {
	case policy.VerbApprove:
		return d.config.Gate.Approve(ctx, s.about, vote)
	case policy.VerbReject:
		return d.config.Gate.Reject(ctx, s.about, vote)
	default:
		return d.config.Gate.Unapprove(ctx, s.about, vote)
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
	reaction, reply := reactionDone, a.reply
	if a.refused != "" {
		reaction, reply = reactionRefused, "@"+s.by.Login+" "+a.refused
		if err := d.config.Gate.Refuse(ctx, s.about, s.by, string(command.Verb), a.refused); err != nil {
			return err
		}
	}
	if err := d.react(ctx, s, reaction); err != nil {
		return err
	}
	if reply == "" {
		return nil
	}
	return d.config.GitHub.Reply(ctx, s.about, s.text.Source(index), s.at, reply)
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
