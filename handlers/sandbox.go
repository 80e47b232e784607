package handlers

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/policy"
	"github.com/portcullis-app/portcullis/sandbox"
)

// Sandboxes starts sandboxes on behalf of people. [sandbox.Lifecycle] fits.
type Sandboxes interface {
	// Ask keeps that somebody asks for something that takes its time; what comes of it is
	// told by [Door.TellSandbox].
	Ask(ctx context.Context, task sandbox.Task) error
	// Running lists what is on record as running on the pull request.
	Running(ctx context.Context, on policy.PullRequestRef) ([]sandbox.Record, error)
	// EndIn ends all in a repository, or with the id 0 all of the owner's.
	EndIn(ctx context.Context, repository policy.Repository, end sandbox.Ending) error
}

// sandbox takes a /sandbox command. What takes its time is answered later.
func (d *Door) sandbox(ctx context.Context, s speech, index int, command policy.Command) (answer, error) {
	if d.config.Sandboxes == nil {
		return answer{refused: "`/sandbox` is not enabled on this server."}, nil
	}
	task := sandbox.Task{ID: s.Text.Source(index), On: s.about, By: s.By, At: s.At, Comment: s.comment}
	for earlier := range index {
		task.Earlier = append(task.Earlier, s.Text.Source(earlier))
	}
	switch strings.ToLower(command.Args[0]) {
	case "list":
		there, err := d.config.Sandboxes.Running(ctx, s.about)
		return answer{reply: running(there)}, err
	case "start":
		task.Kind = sandbox.TaskStart
		if len(command.Args) > 1 {
			task.Provider = strings.ToLower(command.Args[1])
		}
	case "exec":
		task.Kind, task.Sandbox, task.Argv = sandbox.TaskExecute, command.Args[1], command.Args[2:]
	default:
		task.Kind, task.Sandbox = sandbox.TaskStop, command.Args[1]
	}
	return answer{later: true}, d.config.Sandboxes.Ask(ctx, task)
}

// TellSandbox tells whoever asked what came of a task. It may be called again: nobody is
// told twice.
func (d *Door) TellSandbox(ctx context.Context, task sandbox.Task) error {
	a := outcome(task)
	s := speech{Said: gate.Said{By: task.By, At: task.At}, about: task.On, comment: task.Comment}
	if !task.By.Known() {
		// The policy asked: there is nobody to refuse it to.
		if a.refused != "" {
			return d.config.Gate.Refuse(ctx, task.On, policy.Actor{}, string(policy.VerbSandbox), a.refused)
		}
		return d.config.GitHub.Reply(ctx, task.On, task.ID, task.At, a.reply)
	}
	return d.say(ctx, s, task.ID, policy.VerbSandbox, a)
}

// outcome is what came of a task, in words.
func outcome(task sandbox.Task) answer {
	o := task.Outcome
	if o.Refused != "" {
		text := sentence(o.Refused)
		if o.Said != "" {
			text += " It was said: " + code(o.Said)
		}
		return answer{refused: text}
	}
	switch task.Kind {
	case sandbox.TaskStart:
		return answer{reply: started(o)}
	case sandbox.TaskExecute:
		return answer{reply: executed(task)}
	default:
		return answer{reply: fmt.Sprintf("The sandbox `%s` is gone, with all that ran in it.", o.Instance.ID)}
	}
}

func started(o sandbox.Outcome) string {
	is := o.Instance
	text := fmt.Sprintf("The sandbox `%[1]s` runs on %[2]s with the files of %.7[3]s in `%[4]s`, until %[5]s. Run a command with `/sandbox exec %[1]s COMMAND`; end it with `/sandbox stop %[1]s`. "+
		"It ends sooner when the pull request is closed or pushed to, or when an approval goes.",
		is.ID, is.Provider, is.HeadSHA, sandbox.Workspace, is.Deadline.UTC().Format(time.RFC1123))
	if len(o.Left) > 0 {
		text += "\n\nLeft out, because they are neither files nor folders: " + code(strings.Join(o.Left, ", ")) + "."
	}
	return text
}

// running lists sandboxes.
func running(there []sandbox.Record) string {
	if len(there) == 0 {
		return "No sandbox runs on this pull request."
	}
	var b strings.Builder
	b.WriteString("| id | provider | status | commit | until | asked for by |\n|---|---|---|---|---|---|\n")
	for _, is := range there {
		by := is.RequestedBy.Login
		if by == "" {
			by = "the policy"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %.7s | %s | %s |\n", is.ID, is.Provider, is.Status, is.HeadSHA, is.Deadline.UTC().Format(time.RFC3339), by)
	}
	return b.String()
}

// executed tells how a command ended, and folds away what it said.
func executed(task sandbox.Task) string {
	o := task.Outcome
	how := fmt.Sprintf("ended with exit code %d", o.Result.ExitCode)
	switch {
	case o.Result.TimedOut:
		how = "was ended because its time was over"
	case o.Result.OOM:
		how += ", because the sandbox had no more memory"
	}
	text := fmt.Sprintf("%s %s in `%s` after %s.", code(strings.Join(task.Argv, " ")), how, o.Instance.ID, o.Took.Round(100*time.Millisecond))
	if o.Result.Truncated {
		text += " It wrote more than is kept."
	}
	return text + folded("standard output", o.Result.Stdout) + folded("standard error", o.Result.Stderr)
}
