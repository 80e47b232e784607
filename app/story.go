package app

import (
	"fmt"
	"strings"
)

// chapter is the part of the story that is about one pull request.
type chapter struct {
	title string
	// scene is what the policy file on the default branch says from here on; empty
	// leaves it as it is.
	scene string
	// opens is what the first step does.
	opens opening
	steps []step
}

// opening is a pull request that somebody opens.
type opening struct {
	login, branch, title string
	files                map[string]string
}

// searchFiles is a change that is too large for nobody to look at it.
func searchFiles() map[string]string {
	files := map[string]string{}
	for _, name := range []string{"index", "query", "rank"} {
		var b strings.Builder
		b.WriteString("package catalogue\n\n")
		for i := range 25 {
			fmt.Fprintf(&b, "func %s%d() int { return %d }\n", name, i, i)
		}
		files["catalogue/"+name+".go"] = b.String()
	}
	return files
}

// story is what `demo --script` tells.
func (n *narrator) story() []chapter {
	return []chapter{n.typo(), n.peerReview(), n.security(), n.agent(), n.veto(), n.brokenPolicy(), n.repair(), n.credential(), n.sandbox(), n.killSwitch()}
}

func (n *narrator) typo() chapter {
	return chapter{title: "A typo needs nobody", opens: opening{"ann", "typo", "Fix a typo", map[string]string{"README.md": "# Shop\n\nAn example shop.\n"}}, steps: []step{
		{
			says:  "ann fixes a typo in the README and opens a pull request.",
			check: "success", title: "auto: no approval needed (complexity 1 of 10)",
			merge: merge{by: "ann", allowed: true},
		},
	}}
}

func (n *narrator) peerReview() chapter {
	more := map[string]string{"catalogue/rank.go": "package catalogue\n\nfunc rank() int { return 1 }\n"}
	return chapter{title: "A change of some size needs a peer, and the approval is for what the peer saw", opens: opening{"ann", "search", "Add search to the catalogue", searchFiles()}, steps: []step{
		{
			says:  "ann adds search to the catalogue: three files, some eighty lines. She presses Merge at once.",
			check: "in_progress", title: "peer-review: 1 more approval from anyone with write",
			merge: merge{by: "ann", allowed: false},
		},
		{
			says:  "ann approves her own change with a comment: /approve",
			does:  n.comment("ann", "Looks good to me.\n\n/approve"),
			check: "in_progress", title: "peer-review: 1 more approval", reply: "ann is the author",
		},
		{
			says:  "bob, who may write here, comments: /approve",
			does:  n.comment("bob", "/approve"),
			check: "success", title: "peer-review: approved by bob",
			merge: merge{allowed: true},
		},
		{
			says:  "ann pushes another commit before she merges. bob has not seen it.",
			does:  n.push("ann", "search", "Rank differently", more),
			check: "in_progress", title: "peer-review: 1 more approval",
			merge: merge{by: "ann", allowed: false},
		},
		{
			says:  "bob looks again and submits an approving review. ann presses Merge.",
			does:  n.approve("bob", "Now it is better."),
			check: "success", title: "peer-review: approved by bob",
			merge: merge{by: "ann", allowed: true},
		},
	}}
}

func (n *narrator) security() chapter {
	return chapter{title: "Whoever touches the login needs two people of the security team", opens: opening{"ann", "attempts", "Allow ten attempts", map[string]string{"auth/login.go": "package auth\n\nconst attempts = 10\n"}}, steps: []step{
		{
			says:  "ann changes one line in auth/login.go.",
			check: "in_progress", title: "security-review: 2 approvals from acme/security",
			merge: merge{by: "ann", allowed: false},
		},
		{
			says:  "bob approves, but he is not in the team.",
			does:  n.approve("bob", ""),
			check: "in_progress", title: "security-review: 2 approvals from acme/security",
		},
		{
			says:  "sam of the security team approves with a review.",
			does:  n.approve("sam", ""),
			check: "in_progress", title: "security-review: 1 more approval from acme/security",
		},
		{
			says:  "sam approves once more, with a comment. One person is one approval.",
			does:  n.comment("sam", "/approve"),
			check: "in_progress", title: "security-review: 1 more approval from acme/security",
		},
		{
			says:  "sue of the security team comments: /approve",
			does:  n.comment("sue", "/approve"),
			check: "success", title: "security-review: approved by sam, sue",
			merge: merge{by: "ann", allowed: true},
		},
	}}
}

func (n *narrator) agent() chapter {
	return chapter{title: "What an agent makes, a person looks at", opens: opening{"claude[bot]", "claude/greeting", "Greet people", map[string]string{"README.md": "# Shop\n\nWelcome to an example shop.\n"}}, steps: []step{
		{
			says:  "claude[bot] opens a pull request with one line in it: it would be auto, were it made by a person.",
			check: "in_progress", title: "peer-review: 1 more approval from anyone with write",
			merge: merge{by: "ann", allowed: false},
		},
		{
			says:  "claude[bot] comments: /approve. Bots do not command.",
			does:  n.comment("claude[bot]", "/approve"),
			check: "in_progress", title: "peer-review: 1 more approval",
		},
		{
			says:  "bob approves.",
			does:  n.comment("bob", "/approve"),
			check: "success", title: "peer-review: approved by bob",
			merge: merge{by: "bob", allowed: true},
		},
	}}
}

func (n *narrator) veto() chapter {
	return chapter{title: "Anyone who may write can say no", opens: opening{"ann", "typo-again", "Fix another typo", map[string]string{"README.md": "# Shop\n\nWelcome to our shop.\n"}}, steps: []step{
		{
			says:  "ann fixes another typo.",
			check: "success", title: "auto: no approval needed",
			merge: merge{allowed: true},
		},
		{
			says:  "bob comments: /reject not before the launch",
			does:  n.comment("bob", "/reject not before the launch"),
			check: "failure", title: "rejected by bob: not before the launch",
			merge: merge{by: "ann", allowed: false},
		},
		{
			says:  "The launch is over. bob comments: /unapprove",
			does:  n.comment("bob", "/unapprove"),
			check: "success", title: "auto: no approval needed",
			merge: merge{by: "ann", allowed: true},
		},
	}}
}

// brokenDemoPolicy has a word in it that no policy has.
var brokenDemoPolicy = strings.Replace(demoPolicy, "approvals: 1", "aprovals: 1", 1)

func (n *narrator) brokenPolicy() chapter {
	return chapter{
		title: "A broken policy closes the gate",
		scene: brokenDemoPolicy,
		opens: opening{"ann", "last-typo", "Fix the last typo", map[string]string{"README.md": "# Shop\n\nWelcome to our little shop.\n"}},
		steps: []step{
			{
				says:  "Somebody has broken the policy on main: it says aprovals. ann fixes a typo meanwhile.",
				check: "failure", title: "the policy cannot be used: .github/portcullis.yml:6:3",
				merge: merge{by: "ann", allowed: false},
			},
			{
				says:  "The word on main is put right, and bob presses Re-evaluate.",
				does:  n.mend("bob"),
				check: "success", title: "auto: no approval needed",
				merge: merge{by: "ann", allowed: true},
			},
		},
	}
}

func (n *narrator) repair() chapter {
	return chapter{
		title: "Only its repair passes, with two maintainers",
		scene: brokenDemoPolicy,
		opens: opening{"bob", "repair", "Repair the policy", map[string]string{".github/portcullis.yml": demoPolicy}},
		steps: []step{
			{
				says:  "The policy on main is broken again. bob opens a pull request that repairs it.",
				check: "in_progress", title: "security-review: 2 approvals from anyone with maintain",
				merge: merge{by: "bob", allowed: false},
			},
			{
				says:  "sam, who maintains the shop, approves.",
				does:  n.approve("sam", ""),
				check: "in_progress", title: "security-review: 1 more approval from anyone with maintain",
			},
			{
				says:  "sue, who maintains it too, approves. bob presses Merge.",
				does:  n.approve("sue", ""),
				check: "success", title: "security-review: approved by sam, sue",
				merge: merge{by: "bob", allowed: true},
			},
		},
	}
}

// demoFloor is the organization's policy: who may start it again.
const demoFloor = `version: 1
kill_switch:
  activate:   {permission: triage}
  deactivate: {teams: [acme/security], approvals: 2}
`

func (n *narrator) killSwitch() chapter {
	return chapter{title: "One label stops the organization, and two people start it again", opens: opening{"ann", "opening-hours", "Tell when we open", map[string]string{"README.md": "# Shop\n\nWe open at nine.\n"}}, steps: []step{
		{
			says:  "ann tells in the README when the shop opens.",
			check: "success", title: "auto: no approval needed",
			merge: merge{allowed: true},
		},
		{
			says:  "A token has leaked. bob opens an issue in acme/.github with the label killswitch. ann presses Merge.",
			does:  n.halt("bob", "A deploy token leaked"),
			check: "failure", title: "stopped (acme) by bob: A deploy token leaked",
			merge: merge{by: "ann", allowed: false},
		},
		{
			says:  "bob takes the label off again, but he may not start anything: it is put back.",
			does:  n.unlabel("bob"),
			check: "failure", title: "stopped (acme)", reply: "@bob took the label off, but may not start acme again: bob is not one of: acme/security",
			merge: merge{by: "ann", allowed: false},
		},
		{
			says:  "sam of the security team comments on the issue: /killswitch off",
			does:  n.commentOnIssue("sam", "/killswitch off the token is revoked"),
			check: "failure", title: "stopped (acme)", reply: "still needed to start again: 1 more request from acme/security",
			merge: merge{by: "ann", allowed: false},
		},
		{
			says:  "sue of the security team does so too. Every gate is decided anew, then the lock is lifted. ann presses Merge.",
			does:  n.commentOnIssue("sue", "/killswitch off"),
			check: "success", title: "auto: no approval needed", reply: "acme goes on after",
			merge: merge{by: "ann", allowed: true},
		},
	}}
}
