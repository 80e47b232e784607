package app

import (
	"fmt"
	"strings"
)

// chapter is the part of the story that is about one pull request.
type chapter struct {
	title string
	steps []step
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
	return []chapter{n.typo(), n.peerReview(), n.security(), n.agent(), n.veto()}
}

func (n *narrator) typo() chapter {
	return chapter{"A typo needs nobody", []step{
		{
			says:  "ann fixes a typo in the README and opens a pull request.",
			does:  n.open("ann", "typo", "Fix a typo", map[string]string{"README.md": "# Shop\n\nAn example shop.\n"}),
			check: "success", title: "auto: no approval needed (complexity 1 of 10)",
			merge: merge{by: "ann", allowed: true},
		},
	}}
}

func (n *narrator) peerReview() chapter {
	more := map[string]string{"catalogue/rank.go": "package catalogue\n\nfunc rank() int { return 1 }\n"}
	return chapter{"A change of some size needs a peer, and the approval is for what the peer saw", []step{
		{
			says:  "ann adds search to the catalogue: three files, some eighty lines. She presses Merge at once.",
			does:  n.open("ann", "search", "Add search to the catalogue", searchFiles()),
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
			does:  n.review("bob", "APPROVE", "Now it is better."),
			check: "success", title: "peer-review: approved by bob",
			merge: merge{by: "ann", allowed: true},
		},
	}}
}

func (n *narrator) security() chapter {
	return chapter{"Whoever touches the login needs two people of the security team", []step{
		{
			says:  "ann changes one line in auth/login.go.",
			does:  n.open("ann", "attempts", "Allow ten attempts", map[string]string{"auth/login.go": "package auth\n\nconst attempts = 10\n"}),
			check: "in_progress", title: "security-review: 2 approvals from acme/security",
			merge: merge{by: "ann", allowed: false},
		},
		{
			says:  "bob approves, but he is not in the team.",
			does:  n.review("bob", "APPROVE", ""),
			check: "in_progress", title: "security-review: 2 approvals from acme/security",
		},
		{
			says:  "sam of the security team approves with a review.",
			does:  n.review("sam", "APPROVE", ""),
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
	return chapter{"What an agent makes, a person looks at", []step{
		{
			says:  "claude[bot] opens a pull request with one line in it: it would be auto, were it made by a person.",
			does:  n.open("claude[bot]", "claude/greeting", "Greet people", map[string]string{"README.md": "# Shop\n\nWelcome to an example shop.\n"}),
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
	return chapter{"Anyone who may write can say no", []step{
		{
			says:  "ann fixes another typo.",
			does:  n.open("ann", "typo-again", "Fix another typo", map[string]string{"README.md": "# Shop\n\nWelcome to our shop.\n"}),
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
