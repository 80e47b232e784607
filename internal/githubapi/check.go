package githubapi

import (
	"context"

	"github.com/google/go-github/v60/github"

	"github.com/portcullis-app/portcullis/policy"
)

// ActionReevaluate is the identifier of the check run's button.
const ActionReevaluate = "re-evaluate"

// PutCheck makes a check run say what check says and returns its id. With id 0
// it takes over the newest run of that name that this App has on the commit, or
// creates one, so that a write that was done but reported as failed does not
// leave two.
func (c *Client) PutCheck(ctx context.Context, repository policy.Repository, id int64, check policy.Check) (int64, error) {
	client, err := c.rest(repository)
	if err != nil {
		return 0, err
	}
	if check.Renewed {
		return createCheck(ctx, client, repository, check)
	}
	if id == 0 {
		if id, err = c.findCheck(ctx, client, repository, check); err != nil {
			return 0, err
		}
	}
	if id == 0 {
		return createCheck(ctx, client, repository, check)
	}
	err = updateCheck(ctx, client, repository, id, check)
	if isNotFound(err) {
		// GitHub deletes old runs; what is gone is made anew.
		return createCheck(ctx, client, repository, check)
	}
	return id, failed(err, "update the check %q on %s of %s", check.Name, check.HeadSHA, repository)
}

// findCheck returns the id of this App's run of that name, or 0.
func (c *Client) findCheck(ctx context.Context, client *github.Client, repository policy.Repository, check policy.Check) (int64, error) {
	options := &github.ListCheckRunsOptions{CheckName: &check.Name, AppID: &c.appID, ListOptions: github.ListOptions{PerPage: 1}}
	runs, _, err := client.Checks.ListCheckRunsForRef(ctx, repository.Owner, repository.Name, check.HeadSHA, options)
	if err != nil {
		return 0, failed(err, "look for the check %q on %s of %s", check.Name, check.HeadSHA, repository)
	}
	for _, run := range runs.CheckRuns {
		if run.GetName() == check.Name && run.GetApp().GetID() == c.appID {
			return run.GetID(), nil
		}
	}
	return 0, nil
}

func createCheck(ctx context.Context, client *github.Client, repository policy.Repository, check policy.Check) (int64, error) {
	status, conclusion := state(check.Outcome)
	run, _, err := client.Checks.CreateCheckRun(ctx, repository.Owner, repository.Name, github.CreateCheckRunOptions{
		Name: check.Name, HeadSHA: check.HeadSHA, Status: &status, Conclusion: conclusion,
		DetailsURL: optional(check.DetailsURL), ExternalID: optional(check.ExternalID),
		Output: output(check), Actions: buttons(),
	})
	return run.GetID(), failed(err, "create the check %q on %s of %s", check.Name, check.HeadSHA, repository)
}

func updateCheck(ctx context.Context, client *github.Client, repository policy.Repository, id int64, check policy.Check) error {
	status, conclusion := state(check.Outcome)
	_, _, err := client.Checks.UpdateCheckRun(ctx, repository.Owner, repository.Name, id, github.UpdateCheckRunOptions{
		Name: check.Name, Status: &status, Conclusion: conclusion,
		DetailsURL: optional(check.DetailsURL), ExternalID: optional(check.ExternalID),
		Output: output(check), Actions: buttons(),
	})
	return err
}

// state is how GitHub shows an outcome. Neutral and skipped are never used:
// GitHub lets both through.
func state(outcome policy.Outcome) (status string, conclusion *string) {
	switch outcome {
	case policy.OutcomeOpen:
		return "completed", new("success")
	case policy.OutcomeWaiting:
		return "in_progress", nil
	default:
		return "completed", new("failure")
	}
}

func output(check policy.Check) *github.CheckRunOutput {
	return &github.CheckRunOutput{Title: &check.Title, Summary: &check.Summary}
}

func buttons() []*github.CheckRunAction {
	return []*github.CheckRunAction{{Label: "Re-evaluate", Description: "Read everything again and decide anew", Identifier: ActionReevaluate}}
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
