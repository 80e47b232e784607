package app

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// lendingScene is a policy that lends a token to the jobs of an environment.
const lendingScene = demoPolicy + `credentials:
  deploy: {secret: JIT_1H_DEPLOY, scope: ["deploy:staging"], ttl: 30m, environment: staging, tier: team-lead}
`

// credential is the chapter in which a job is lent what it needs.
func (n *narrator) credential() chapter {
	return chapter{
		title: "A job is lent a token for as long as it runs, once somebody has approved that", scene: lendingScene,
		opens: opening{"ann", "prices", "Tell the prices", map[string]string{"README.md": "# Shop\n\nEverything costs one.\n"}},
		steps: []step{
			{
				says:  "ann tells the prices in the README. Nobody need approve that it is merged.",
				check: "success", title: "auto: no approval needed",
				merge: merge{allowed: true},
			},
			{
				says: "Her workflow is to deploy it to staging, an environment with Portcullis as a protection rule.",
				does: n.startDeploy("ann", "staging"), job: "waits for Portcullis: team-lead: 1 more approval from acme/leads",
				check: "success", merge: merge{allowed: true},
			},
			{
				says: "lee, of the team leads, approves. The job starts, reads secrets.JIT_1H_DEPLOY and shows it to the server of staging.",
				does: n.approve("lee", ""), job: "in_progress, and the server of staging, which asks Portcullis, accepts its token",
				check: "success", merge: merge{allowed: true},
			},
			{
				says: "The job ends. Somebody shows its token again.",
				does: n.endDeploy, job: "completed; the secret is gone, and its token is refused",
				check: "success", merge: merge{by: "ann", allowed: true},
			},
		},
	}
}

// deploy is a job that needs a token.
type deploy struct {
	world       *world
	environment *githubsim.Environment
	job         *githubsim.Job
}

// startDeploy starts a run on the pull request, as a push by that person does, and
// comes to its job.
func (n *narrator) startDeploy(login, environment string) func(context.Context) error {
	return func(context.Context) error {
		staging := n.world.shop.CreateEnvironment(environment)
		staging.Protect(n.world.hook)
		n.deploy = &deploy{n.world, staging, n.pr.StartWorkflowRun(n.world.github.User(login)).StartJob("deploy", environment)}
		return nil
	}
}

func (n *narrator) endDeploy(context.Context) error {
	n.deploy.job.Complete("success")
	return nil
}

// seen is what is to be seen of the job, of its secret and of its token.
func (d *deploy) seen() string {
	token := d.job.Secret("JIT_1H_DEPLOY")
	switch comments := d.job.Comments(); {
	case d.job.Status() == "waiting" && len(comments) > 0:
		return "waits for Portcullis: " + comments[len(comments)-1]
	case d.job.Status() == "waiting":
		return "waits"
	}
	accepted, err := d.accepted(token)
	_, there := d.environment.Secrets()["JIT_1H_DEPLOY"]
	switch {
	case err != nil:
		return err.Error()
	case accepted:
		return d.job.Status() + ", and the server of staging, which asks Portcullis, accepts its token"
	case there:
		return d.job.Status() + "; its token is refused, and the secret is still there"
	default:
		return d.job.Status() + "; the secret is gone, and its token is refused"
	}
}

// accepted asks as the server does to which the token is shown.
func (d *deploy) accepted(token string) (bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), storyTimeout)
	defer cancel()
	answer, err := introspect(ctx, d.world.server.URL(), token)
	return strings.Contains(answer, `"active":true`), err
}

// introspect asks the server of a token, as the program that a simulated world knows.
func introspect(ctx context.Context, server, token string) (answer string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, server+"/api/v1/introspect", strings.NewReader(url.Values{"token": {token}}.Encode()))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(demoClient, demoClientSecret)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", fmt.Errorf("ask about a token: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("ask about a token: Portcullis answered %d", response.StatusCode)
	}
	return string(body), err
}
