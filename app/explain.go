package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/portcullis-app/portcullis/gate"
	"github.com/portcullis-app/portcullis/internal/githubapi"
	"github.com/portcullis-app/portcullis/internal/store"
	"github.com/portcullis-app/portcullis/killswitch"
	"github.com/portcullis-app/portcullis/policy"
)

// explanation is what `policy explain` was asked.
type explanation struct {
	config, policyFile string
	asJSON             bool
}

func explainCommand(stdio Stdio) *cobra.Command {
	var e explanation
	command := &cobra.Command{
		Use: "explain OWNER/REPO#NUMBER", Short: "Tell what the gate would decide for a pull request and why, writing nothing", Args: cobra.ExactArgs(1),
		Long: "Reads the pull request from GitHub as the App, and what the server has recorded of it\n" +
			"from the configured database, if that is there. It writes nothing.",
		RunE: func(cmd *cobra.Command, args []string) error { return e.run(cmd.Context(), args[0], stdio) },
	}
	command.Flags().StringVar(&e.config, "config", "config.yml", "the server's configuration")
	command.Flags().StringVar(&e.policyFile, "policy", "", "judge by this file in the place of the repository's own")
	command.Flags().BoolVar(&e.asJSON, "json", false, "tell it as JSON")
	return command
}

var pullRequestName = regexp.MustCompile(`^([A-Za-z0-9._-]+)/([A-Za-z0-9._-]+)#([1-9][0-9]*)$`)

// errPullRequestName is returned for what names no pull request.
var errPullRequestName = errors.New("name the pull request as OWNER/REPO#NUMBER, such as acme/shop#7")

func (e explanation) run(ctx context.Context, name string, stdio Stdio) error {
	match := pullRequestName.FindStringSubmatch(name)
	if match == nil {
		return errPullRequestName
	}
	number, err := strconv.Atoi(match[3])
	if err != nil {
		return errPullRequestName
	}
	config, err := LoadConfig(e.config)
	if err != nil {
		return err
	}
	client, err := githubapi.New(config.GitHub, clientOptions(config, time.Now))
	if err != nil {
		return err
	}
	repository, err := client.Repository(ctx, match[1], match[2])
	if err != nil {
		return err
	}
	ref := policy.PullRequestRef{Repository: repository, Number: number}
	decision, err := e.decide(ctx, config, client, ref)
	if err != nil {
		return err
	}
	if e.asJSON {
		return writeDecisionJSON(stdio.Out, ref, decision)
	}
	return writeDecision(stdio.Out, ref, decision)
}

// decide decides as the server would, on a copy of what it has recorded.
func (e explanation) decide(ctx context.Context, config Config, client *githubapi.Client, ref policy.PullRequestRef) (policy.Decision, error) {
	var github gate.GitHub = client
	if e.policyFile != "" {
		content, err := os.ReadFile(e.policyFile)
		if err != nil {
			return policy.Decision{}, fmt.Errorf("read the policy: %w", err)
		}
		github = otherPolicy{client, content}
	}
	workflow := gate.NewMemoryApprovalWorkflow(time.Now)
	if err := copyRecorded(ctx, config.Database.URL, ref, workflow); err != nil {
		return policy.Decision{}, err
	}
	keeper := gate.New(gate.Config{
		GitHub: github, Workflow: workflow, Switch: killswitch.LabelsOnly{}, Now: time.Now, CheckName: config.Check.Name, PolicyPath: config.Policy.Path,
	})
	return keeper.Explain(zerolog.Nop().WithContext(ctx), ref)
}

// copyRecorded copies what the server has recorded of the pull request. A database
// that is not there has recorded nothing.
func copyRecorded(ctx context.Context, databaseURL string, ref policy.PullRequestRef, to *gate.MemoryApprovalWorkflow) error {
	recorded, found, err := store.OpenRecorded(ctx, databaseURL, time.Now)
	if err != nil || !found {
		return err
	}
	state, err := recorded.State(ctx, ref.Key())
	if err == nil {
		to.Restore(state)
	}
	if errors.Is(err, gate.ErrUnknownRequest) {
		err = nil
	}
	return errors.Join(err, recorded.Close())
}

// otherPolicy is GitHub with another policy file in the repository.
type otherPolicy struct {
	gate.GitHub
	content []byte
}

func (o otherPolicy) Snapshot(ctx context.Context, ref policy.PullRequestRef, likely policy.Questions) (policy.Snapshot, map[int64]policy.Standing, error) {
	s, standings, err := o.GitHub.Snapshot(ctx, ref, likely)
	for i := range s.Policies {
		if !s.Policies[i].Organization {
			s.Policies[i].Content = o.content
		}
	}
	return s, standings, err
}

// writeDecision tells a decision to a person.
func writeDecision(out io.Writer, ref policy.PullRequestRef, d policy.Decision) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(what, text string) { _, _ = fmt.Fprintf(w, "%s\t%s\n", what, text) }
	line("pull request", ref.String()+" at "+d.HeadSHA)
	line("gate", d.Outcome.String())
	line("title", d.Title())
	for _, reason := range d.Assessment.Reasons {
		line("asks for", string(reason.Tier)+", because "+reason.Why)
	}
	for i, r := range d.Assessment.Requirements {
		missing := ""
		if i < len(d.Missing) {
			missing = fmt.Sprintf(" (%d missing)", d.Missing[i])
		}
		line("needs", fmt.Sprintf("%d from %s%s", r.Approvals, r.From, missing))
	}
	for _, c := range d.Counted {
		line("counts", "the approval of "+c.Vote.By.String())
	}
	for _, r := range d.Rejections {
		line("holds", strings.TrimSuffix("the rejection of "+r.By.String()+": "+r.Reason, ": "))
	}
	for _, dis := range d.Discounted {
		line("does not count", fmt.Sprintf("%s of %s: %s", dis.Vote.Verdict, dis.Vote.By, dis.Why))
	}
	if d.Policy != "" {
		line("policy", d.Policy)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("tell the decision: %w", err)
	}
	return nil
}

// told is a vote as JSON tells it.
type told struct {
	By      string `json:"by"`
	ID      int64  `json:"id"`
	Verdict string `json:"verdict"`
	Source  string `json:"source"`
	Why     string `json:"why,omitempty"`
}

func tell(v policy.Vote, why string) told {
	return told{By: v.By.String(), ID: v.By.ID, Verdict: string(v.Verdict), Source: v.Source, Why: why}
}

// writeDecisionJSON tells a decision to a program.
func writeDecisionJSON(out io.Writer, ref policy.PullRequestRef, d policy.Decision) error {
	type reason struct {
		Tier string `json:"tier"`
		Why  string `json:"why"`
	}
	type need struct {
		Approvals int    `json:"approvals"`
		From      string `json:"from"`
		Missing   int    `json:"missing"`
	}
	answer := struct {
		PullRequest string   `json:"pull_request"`
		Head        string   `json:"head"`
		Gate        string   `json:"gate"`
		Title       string   `json:"title"`
		Tier        string   `json:"tier"`
		Complexity  int      `json:"complexity"`
		Reasons     []reason `json:"reasons"`
		Needs       []need   `json:"needs"`
		Counted     []told   `json:"counted"`
		Rejections  []told   `json:"rejections"`
		Discounted  []told   `json:"discounted"`
		Fault       string   `json:"fault,omitempty"`
		Policy      string   `json:"policy"`
	}{
		PullRequest: ref.String(), Head: d.HeadSHA, Gate: d.Outcome.String(), Title: d.Title(), Tier: string(d.Assessment.Tier),
		Complexity: d.Assessment.Score.Value, Fault: d.Fault, Policy: d.Policy,
		Reasons: []reason{}, Needs: []need{}, Counted: []told{}, Rejections: []told{}, Discounted: []told{},
	}
	for _, r := range d.Assessment.Reasons {
		answer.Reasons = append(answer.Reasons, reason{string(r.Tier), r.Why})
	}
	for i, r := range d.Assessment.Requirements {
		missing := r.Approvals
		if i < len(d.Missing) {
			missing = d.Missing[i]
		}
		answer.Needs = append(answer.Needs, need{r.Approvals, r.From.String(), missing})
	}
	for _, c := range d.Counted {
		answer.Counted = append(answer.Counted, tell(c.Vote, ""))
	}
	for _, r := range d.Rejections {
		answer.Rejections = append(answer.Rejections, tell(r, r.Reason))
	}
	for _, dis := range d.Discounted {
		answer.Discounted = append(answer.Discounted, tell(dis.Vote, dis.Why))
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(answer); err != nil {
		return fmt.Errorf("tell the decision: %w", err)
	}
	return nil
}
