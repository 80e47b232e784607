package policy

import (
	"strings"
	"testing"
	"time"
)

// TestI8TTLs: a TTL that is none, negative, unparsable, overflowing, with years or months,
// or above the cap is an error that names the limit, never a default.
func TestI8TTLs(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"30m": 30 * time.Minute, "PT30M": 30 * time.Minute, "PT1H": time.Hour, "1h": time.Hour, "PT5S": 5 * time.Second, "PT0H10M": 10 * time.Minute, "1h0m": time.Hour,
	} {
		if got, err := ParseTTL(text, time.Hour); err != nil || got != want {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "P", "PT", "P1Y", "P1M", "P1Y2M", "PT5M10H", "-5m", "-PT5M", "0", "0s", "PT0S", "P0D", "1 hour", "forever", "61m", "PT61M", "P1D", "P1W", "pt5m",
		"PT999999999999H", "P99999999999999999999D", "9999999999h", "PT1.5H", "NaN",
	} {
		got, err := ParseTTL(text, time.Hour)
		if err == nil {
			t.Errorf("%q is %s", text, got)
			continue
		}
		if !strings.Contains(err.Error(), "1h") {
			t.Errorf("%q: %v does not name the limit", text, err)
		}
	}
}

// lendPolicy is a repository's file, or the organization's.
func lendPolicy(t *testing.T, credentials string) PolicyFile {
	t.Helper()
	text := "version: 1\ntiers:\n  peer-review: {approvals: 1, from: {permission: write}}\n  team-lead: {approvals: 1, from: {users: [lee, sam]}}\n  security-review: {approvals: 2, from: {users: [sam, sue]}}\n"
	if credentials != "" {
		text += "credentials:\n" + credentials
	}
	file, err := ParsePolicyFile(DefaultPath, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// TestI20I21Lend: the granted scope is what request, repository and organization all allow,
// and one that is unknown refuses the whole request; who asks is no approver, and an
// approval counts for the head alone.
func TestI20I21Lend(t *testing.T) {
	const deploy = "  deploy: {secret: JIT_1H_DEPLOY, scope: [\"deploy:staging\", \"deploy:test\"], ttl: 30m, tier: team-lead}\n"
	type world struct {
		organization, base, other string
		asks                      LoanRequest
		approvals                 []string
		commit                    string
		fork, closed, rejected    bool
		stopped                   bool
		reader                    bool
	}
	ask := LoanRequest{Credential: "deploy", By: people("ann")}
	with := func(change func(*LoanRequest)) LoanRequest {
		asks := ask
		change(&asks)
		return asks
	}
	for name, c := range map[string]struct {
		world
		want  string // "" is granted
		waits bool
		ttl   time.Duration
		scope string
	}{
		"approved":         {world{base: deploy, asks: ask, approvals: []string{"lee"}}, "", false, 30 * time.Minute, "deploy:staging deploy:test"},
		"for less time":    {world{base: deploy, asks: with(func(a *LoanRequest) { a.TTL = "PT5M" }), approvals: []string{"lee"}}, "", false, 5 * time.Minute, "deploy:staging deploy:test"},
		"for a part of it": {world{base: deploy, asks: with(func(a *LoanRequest) { a.Scope = []string{"deploy:test"} }), approvals: []string{"lee"}}, "", false, 30 * time.Minute, "deploy:test"},
		"nobody approved":  {world: world{base: deploy, asks: ask}, want: "team-lead: 1 more approval from", waits: true},
		"nobody approved what cannot be taken back": {
			world: world{base: "  deploy: {secret: JIT_1H_DEPLOY, ttl: 30m, tier: team-lead, provider: lend, source: key, environment: production}\n", asks: ask},
			want:  "; whoever approves should know that it cannot be taken back once it is lent: change it at its source afterwards", waits: true,
		},
		"approved by whoever asks":      {world: world{base: deploy, asks: with(func(a *LoanRequest) { a.By = people("lee") }), approvals: []string{"lee"}}, want: "1 more approval", waits: true},
		"approved by the wrong one":     {world: world{base: deploy, asks: ask, approvals: []string{"bob"}}, want: "1 more approval", waits: true},
		"approved for another head":     {world: world{base: deploy, asks: ask, approvals: []string{"lee"}, commit: "aaaa"}, want: "1 more approval", waits: true},
		"rejected":                      {world: world{base: deploy, asks: ask, approvals: []string{"lee"}, rejected: true}, want: "rejected by sam"},
		"from a fork":                   {world: world{base: deploy, asks: ask, approvals: []string{"lee"}, fork: true}, want: "fork"},
		"closed":                        {world: world{base: deploy, asks: ask, approvals: []string{"lee"}, closed: true}, want: "closed"},
		"stopped":                       {world: world{base: deploy, asks: ask, approvals: []string{"lee"}, stopped: true}, want: "stopped", waits: true},
		"by somebody who may only read": {world: world{base: deploy, asks: ask, approvals: []string{"lee"}, reader: true}, want: "ann has read here"},
		"for longer":                    {world: world{base: deploy, asks: with(func(a *LoanRequest) { a.TTL = "31m" }), approvals: []string{"lee"}}, want: "ask for at most 30m"},
		"for what is not allowed":       {world: world{base: deploy, asks: with(func(a *LoanRequest) { a.Scope = []string{"deploy:production"} }), approvals: []string{"lee"}}, want: `does not allow the scope "deploy:production"`},
		"for nothing":                   {world: world{base: deploy, asks: with(func(a *LoanRequest) { a.Scope = []string{} }), approvals: []string{"lee"}}, want: "asked for nothing"},
		"no such credential":            {world: world{base: deploy, asks: with(func(a *LoanRequest) { a.Credential = "release" }), approvals: []string{"lee"}}, want: `names no credential "release"; it names deploy`},
		"no credentials at all":         {world: world{asks: ask, approvals: []string{"lee"}}, want: "names no credentials"},
		"the organization's alone":      {world{organization: deploy, asks: ask, approvals: []string{"lee"}}, "", false, 30 * time.Minute, "deploy:staging deploy:test"},
		"the organization asks for more": {
			world: world{organization: strings.Replace(deploy, "team-lead", "security-review", 1), base: deploy, asks: ask, approvals: []string{"lee"}},
			want:  "security-review: 2 approvals", waits: true,
		},
		"the organization allows less": {
			world{organization: strings.NewReplacer("30m", "10m", ", \"deploy:test\"", "").Replace(deploy), base: deploy, asks: ask, approvals: []string{"lee"}}, "", false, 10 * time.Minute, "deploy:staging",
		},
		"the organization allows none of it": {
			world: world{organization: strings.NewReplacer("deploy:staging", "x", "deploy:test", "y").Replace(deploy), base: deploy, asks: ask, approvals: []string{"lee"}}, want: "no scope",
		},
		"the organization does not name it":     {world: world{organization: strings.Replace(deploy, "  deploy", "  release", 1), base: deploy, asks: ask, approvals: []string{"lee"}}, want: `names no credential "deploy"`},
		"they name different secrets":           {world: world{organization: strings.Replace(deploy, "JIT_1H_DEPLOY", "JIT_1H_OTHER", 1), base: deploy, asks: ask, approvals: []string{"lee"}}, want: "different things"},
		"a branch that anybody may make":        {world: world{base: "", other: deploy, asks: ask, approvals: []string{"lee"}}, want: `on main names no credential "deploy"`},
		"a branch that lends for a lower price": {world: world{base: deploy, other: strings.Replace(deploy, "team-lead", "auto", 1), asks: ask}, want: "1 more approval", waits: true},
	} {
		t.Run(name, func(t *testing.T) {
			in := Input{
				Snapshot: Snapshot{PullRequest: PullRequest{
					Ref: PullRequestRef{Repository: Repository{ID: 7, Owner: "acme", Name: "shop"}, Number: 1}, Author: people("ann"), HeadSHA: "bbbb", HeadRepositoryID: 7,
					BaseBranch: "main", Open: !c.closed, ChangedFiles: 1, CommitCount: 1,
				}, Files: []File{{Path: "README.md", Status: FileModified}}, Commits: []Commit{{SHA: "bbbb", Author: people("ann"), Committer: people("ann")}}},
				Policies:  []PolicySource{{Place: Place{Repository: "acme/shop", Branch: "main", Path: DefaultPath}, Present: true, File: lendPolicy(t, c.base)}},
				Standings: map[int64]Standing{}, Now: dayStart.Add(time.Hour),
			}
			if c.organization != "" {
				in.Policies = append([]PolicySource{{Place: Place{Repository: "acme/.github", Path: DefaultPath, Organization: true}, Present: true, File: lendPolicy(t, c.organization)}}, in.Policies...)
			}
			if c.other != "" {
				in.Policies = append(in.Policies, PolicySource{Place: Place{Repository: "acme/shop", Branch: "release", Path: DefaultPath}, Present: true, File: lendPolicy(t, c.other)})
			}
			if c.fork {
				in.Snapshot.PullRequest.HeadRepositoryID = 8
			}
			if c.stopped {
				in.Stops = []Stop{{Scope: "acme/shop", Reason: "x"}}
			}
			for _, login := range []string{"ann", "bob", "lee", "sam", "sue"} {
				in.Standings[people(login).ID] = Standing{Login: login, Permission: PermissionWrite}
			}
			if c.reader {
				in.Standings[people("ann").ID] = Standing{Login: "ann", Permission: PermissionRead}
			}
			commit := c.commit
			if commit == "" {
				commit = "bbbb"
			}
			for _, login := range c.approvals {
				in.Votes = append(in.Votes, Vote{Source: "review:" + login, By: people(login), Verdict: VerdictApprove, Commit: commit, At: dayStart})
			}
			if c.rejected {
				in.Votes = append(in.Votes, Vote{Source: "review:9", By: people("sam"), Verdict: VerdictReject, Commit: commit, At: dayStart})
			}
			loan := Lend(in, c.asks)
			if loan.Granted != (c.want == "") || !strings.Contains(loan.Why, c.want) || loan.Waits != c.waits {
				t.Fatalf("granted: %t, waits: %t, why: %q, want %q", loan.Granted, loan.Waits, loan.Why, c.want)
			}
			if loan.Granted && (loan.TTL != c.ttl || strings.Join(loan.Rule.Scope, " ") != c.scope || loan.HeadSHA != "bbbb" || len(loan.ApprovedBy) != len(c.approvals)) {
				t.Errorf("%+v", loan)
			}
			if loan := Lend(Input{}, c.asks); loan.Granted {
				t.Error("nothing known, and granted")
			}
		})
	}
}
