package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/portcullis-app/portcullis/sandbox"
	"github.com/portcullis-app/portcullis/sandbox/docker"
)

func demoCommand(stdio Stdio) *cobra.Command {
	var script, verbose bool
	command := &cobra.Command{
		Use: "demo", Short: "Run the App against a simulated GitHub, on this machine alone", Args: cobra.NoArgs,
		Long: "Run the App against a simulated GitHub on loopback: no account, no network, nothing kept.\n" +
			"With --script, tell a story in the terminal and end; the exit code is 0 only if every\nstep ended as told.",
		RunE: func(command *cobra.Command, _ []string) error {
			log := zerolog.Nop()
			if verbose {
				log = newLogger(LogConfig{Level: "info", Format: "console"}, stdio.Err)
			}
			return demo(command.Context(), stdio.Out, log, script)
		},
	}
	command.Flags().BoolVar(&script, "script", false, "tell the story and end")
	command.Flags().BoolVar(&verbose, "verbose", false, "show the server's log")
	return command
}

func demo(ctx context.Context, out io.Writer, log zerolog.Logger, script bool) error {
	engine := newDemoEngine(ctx, demoAppID())
	w, err := newWorld(ctx, "sqlite::memory:", Options{Log: log, sandboxes: map[string]sandbox.Sandbox{docker.Provider: engine.boxes}})
	if err != nil {
		return errors.Join(err, engine.close(context.WithoutCancel(ctx)))
	}
	if script {
		_, _ = fmt.Fprintln(out, engine.says)
		err = newNarrator(w, out, engine.image).tell(ctx)
	} else {
		err = w.invite(ctx, out, engine)
	}
	return errors.Join(err, engine.end(context.WithoutCancel(ctx)), w.stop(ctx), engine.close(context.WithoutCancel(ctx)))
}

// invitingScene is the policy of a demo in which people act themselves.
const invitingScene = demoPolicy + `credentials:
  deploy: {secret: JIT_1H_DEPLOY, scope: ["deploy:staging"], ttl: 30m, tier: team-lead}
`

// invite opens a pull request, says what to try, and waits for a signal.
func (w *world) invite(ctx context.Context, out io.Writer, engine demoEngine) error {
	n := newNarrator(w, io.Discard, engine.image)
	w.set(invitingScene + strings.TrimPrefix(n.sandboxScene(), demoPolicy))
	if err := n.open("ann", "search", "Add search to the catalogue", searchFiles())(ctx); err != nil {
		return fmt.Errorf("open the first pull request: %w", err)
	}
	if err := w.settle(ctx); err != nil {
		return err
	}
	w.servePages()
	api, pull := w.github.APIURL()+"repos/acme/shop", fmt.Sprintf("/pulls/%d", n.pr.Number())
	token := func(login string) string { return w.github.User(login).Token() }
	says := func(login, text string) string {
		return "  curl -s -X POST -H 'Authorization: Bearer " + token(login) + "' " + api + "/issues/1/comments -d '{\"body\":\"" + text + "\"}'"
	}
	lines := []string{
		"Open " + w.github.URL() + " in a browser: a simulated GitHub, in which you act as several people.",
		"",
		"Portcullis works for it at " + w.server.URL() + ".",
		"The organization acme has a repository shop; its main branch requires the check \"portcullis\".",
		"ann has opened acme/shop#1. It can all be done from a terminal too:",
		"",
		"  # see what the check says",
		"  curl -s -H 'Authorization: Bearer " + token("ann") + "' " + api + "/commits/search/check-runs | grep -E '\"(status|conclusion|title)\":'",
		"  # try to merge: GitHub refuses",
		"  curl -s -X PUT -H 'Authorization: Bearer " + token("ann") + "' " + api + pull + "/merge",
		"  # approve as bob, in a comment or in a review",
		says("bob", "/approve"),
		"  curl -s -X POST -H 'Authorization: Bearer " + token("bob") + "' " + api + pull + "/reviews -d '{\"event\":\"APPROVE\"}'",
		"  # push to the branch: the approval is stale",
		"  curl -s -X PUT -H 'Authorization: Bearer " + token("ann") + "' " + api + "/contents/catalogue/more.go -d '{\"message\":\"more\",\"branch\":\"search\",\"content\":\"cGFja2FnZSBjYXRhbG9ndWUK\"}'",
		"  # lee, a team lead, approves what there is now; ann is lent a token for it, whose secret is there until she is done",
		says("lee", "/approve"),
		says("ann", "/credential issue deploy"),
		"  curl -s -H 'Authorization: Bearer " + token("ann") + "' " + api + "/actions/secrets",
		says("ann", "/credential revoke deploy"),
		"  # bob starts a sandbox with what is on the branch; its answer says how to run something in it, and how to end it",
		says("bob", "/sandbox start"),
		"  curl -s -H 'Authorization: Bearer " + token("ann") + "' " + api + "/issues/1/comments | grep '\"body\":'",
		"",
		engine.says,
		"Ctrl-C ends it. `demo --script` tells the whole story.",
	}
	for _, line := range lines {
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}
