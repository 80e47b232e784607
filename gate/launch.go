package gate

import (
	"context"
	"fmt"

	"github.com/portcullis-app/portcullis/policy"
)

// LaunchSandbox judges whether a sandbox may run on the pull request, by what GitHub says
// now. It writes nothing. An error means that it is not known, and nothing is started.
func (g *Gate) LaunchSandbox(ctx context.Context, ref policy.PullRequestRef, request policy.LaunchRequest) (launch policy.Launch, _ error) {
	err := g.lend(ctx, ref,
		func(in policy.Input) (policy.Questions, error) { return in.LaunchQuestions(request), nil },
		func(in policy.Input) (granted bool) {
			launch = policy.LaunchSandbox(in, request)
			return launch.Granted
		})
	if err != nil {
		return policy.Launch{}, fmt.Errorf("judge whether a sandbox may run on %s: %w", ref, err)
	}
	return launch, nil
}
