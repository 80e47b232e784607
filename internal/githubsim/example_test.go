package githubsim_test

import (
	"fmt"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// A repository whose main branch wants one App's check: without it nobody merges.
func Example() {
	sim, err := githubsim.Start(githubsim.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer sim.Close()
	acme, alice := sim.CreateOrganization("acme"), sim.CreateUser("alice")
	castle := acme.CreateRepository("castle", map[string]string{"README.md": "hello\n"})
	castle.SetRole(alice, "write")
	app := sim.CreateApp(githubsim.AppSpec{Slug: "portcullis", Permissions: map[string]string{"checks": "write"}})
	app.Install(acme)
	castle.CreateRuleset(githubsim.Ruleset{
		Name: "gate", Branches: []string{"~DEFAULT_BRANCH"},
		RequiredChecks: []githubsim.RequiredCheck{{Context: "portcullis", AppID: app.ID()}},
	})
	if _, err := castle.Push(alice, "topic", githubsim.Commit{Files: map[string]string{"moat.txt": "deep\n"}}); err != nil {
		fmt.Println(err)
	}
	pull, err := castle.Open(alice, githubsim.PullRequestSpec{Title: "Dig a moat", Head: "topic"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(pull.Mergeability(alice).Allowed)
	fmt.Println(pull.Merge(alice))
	// Output:
	// false
	// Required status check "portcullis" is expected.
}
