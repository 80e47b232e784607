package policy

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

// launchPolicy is a repository's file, or the organization's, with its sandbox.
func launchPolicy(t *testing.T, sandbox string) PolicyFile {
	t.Helper()
	file := lendPolicy(t, "")
	if sandbox == "" {
		return file
	}
	parsed, err := ParsePolicyFile(DefaultPath, []byte("version: 1\nsandbox: {"+sandbox+"}\n"))
	if err != nil {
		t.Fatal(err)
	}
	file.Sandbox = parsed.Sandbox
	return file
}

func TestLaunchSandbox(t *testing.T) {
	const (
		digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
		docker = `provider: docker, image: "a@` + digest + `"`
	)
	type world struct {
		organization, base, other string
		asks                      LaunchRequest
		approvals                 []string
		fork, closed, rejected    bool
		stopped, reader, byAgent  bool
		agentsStopped             bool
		commit                    string
	}
	ask := LaunchRequest{By: people("ann")}
	for name, c := range map[string]struct {
		world
		want  string // "" is granted
		waits bool
		rule  func(*SandboxRules)
	}{
		"approved":                          {world: world{base: docker, asks: ask, approvals: []string{"bob"}}},
		"without approval":                  {world: world{base: docker + ", tier: auto", asks: ask}, rule: func(r *SandboxRules) { r.Tier = TierAuto }},
		"nobody approved":                   {world: world{base: docker, asks: ask}, want: "peer-review: 1 more approval", waits: true},
		"approved by whoever asks":          {world: world{base: docker, asks: LaunchRequest{By: people("bob")}, approvals: []string{"bob"}}},
		"approved by the author":            {world: world{base: docker, asks: ask, approvals: []string{"ann"}}, want: "1 more approval", waits: true},
		"approved for another head":         {world: world{base: docker, asks: ask, approvals: []string{"bob"}, commit: "aaaa"}, want: "1 more approval", waits: true},
		"rejected":                          {world: world{base: docker, asks: ask, approvals: []string{"bob"}, rejected: true}, want: "rejected by sam"},
		"closed":                            {world: world{base: docker, asks: ask, approvals: []string{"bob"}, closed: true}, want: "closed"},
		"stopped":                           {world: world{base: docker, asks: ask, approvals: []string{"bob"}, stopped: true}, want: "stopped", waits: true},
		"agents are stopped":                {world: world{base: docker + ", tier: auto", asks: ask, agentsStopped: true}, rule: func(r *SandboxRules) { r.Tier = TierAuto }},
		"agents are stopped, and it is one": {world: world{base: docker + ", tier: auto, start: agents", byAgent: true, agentsStopped: true}, want: "stopped", waits: true},
		"from a fork":                       {world: world{base: docker, asks: ask, approvals: []string{"bob"}, fork: true}},
		"by somebody who may read":          {world: world{base: docker, asks: ask, approvals: []string{"bob"}, reader: true}, want: "to ask for a sandbox takes write"},
		"where the policy says":             {world: world{base: docker, asks: LaunchRequest{By: people("ann"), Provider: "docker"}, approvals: []string{"bob"}}},
		"where it does not":                 {world: world{base: docker, asks: LaunchRequest{By: people("ann"), Provider: "codespaces"}, approvals: []string{"bob"}}, want: `on docker, not on "codespaces"`},
		"no sandboxes":                      {world: world{asks: ask, approvals: []string{"bob"}}, want: "allows no sandboxes"},
		"a branch that anybody makes":       {world: world{other: docker, asks: ask, approvals: []string{"bob"}}, want: "on main allows no sandboxes"},
		"a branch with another image":       {world: world{base: docker, other: strings.Replace(docker, "a@", "b@", 1), asks: ask, approvals: []string{"bob"}}, want: "different things"},
		"a branch with a lower tier":        {world: world{base: docker, other: docker + ", tier: auto", asks: ask}, want: "1 more approval", waits: true},
		"nobody asks":                       {world: world{base: docker + ", tier: auto", byAgent: true}, want: "nobody asked for it"},
		"the policy asks, for an agent": {
			world: world{base: docker + ", tier: auto, start: agents", byAgent: true}, rule: func(r *SandboxRules) { r.Tier, r.Start = TierAuto, StartForAgents },
		},
		"the policy asks, for a person":  {world: world{base: docker + ", tier: auto, start: agents"}, want: "nobody asked for it"},
		"the organization's alone":       {world: world{organization: docker, asks: ask, approvals: []string{"bob"}}},
		"the organization's provider":    {world: world{organization: "provider: codespaces", base: docker, asks: ask, approvals: []string{"bob"}}, want: "different things"},
		"the organization's higher tier": {world: world{organization: docker + ", tier: team-lead", base: docker, asks: ask, approvals: []string{"bob"}}, want: "team-lead: 1 more approval", waits: true},
		"the repository's image":         {world: world{organization: docker, base: strings.Replace(docker, "a@", "b@", 1), asks: ask, approvals: []string{"bob"}}, want: "", rule: func(r *SandboxRules) { r.Image = "b@" + digest }},
		"the organization's constraints": {
			world: world{
				organization: docker + `, constraints: {memory_mb: 256, cpu_percent: 400, network: egress-only, egress: [a.example.com, b.example.com], timeout: 10m, allowed_paths: [/workspace/out, /workspace/x], runtime: runsc}`,
				base:         docker + `, constraints: {memory_mb: 512, cpu_percent: 50, disk_mb: 9, network: egress-only, egress: [b.example.com, c.example.com], timeout: 1h, allowed_paths: [/workspace/out]}`,
				asks:         ask, approvals: []string{"bob"},
			},
			rule: func(r *SandboxRules) {
				r.Constraints = SandboxConstraints{MemoryMB: 256, CPUPercent: 50, DiskMB: 9, Network: "egress-only", Egress: []string{"b.example.com"}, Timeout: 10 * time.Minute, AllowedPaths: []string{"/workspace/out"}, Runtime: "runsc"}
			},
		},
		"the organization's hosts under full": {
			world: world{organization: docker + `, constraints: {network: egress-only, egress: [a.example.com]}`, base: docker + ", constraints: {network: full}", asks: ask, approvals: []string{"bob"}},
			rule: func(r *SandboxRules) {
				r.Constraints.Network, r.Constraints.Egress = "egress-only", []string{"a.example.com"}
			},
		},
		"the organization's none": {
			world: world{organization: docker, base: docker + ", constraints: {network: full}", asks: ask, approvals: []string{"bob"}},
			rule:  func(r *SandboxRules) { r.Constraints.Network = "none" },
		},
		"narrower hosts and paths": {
			world: world{
				organization: docker + `, constraints: {network: egress-only, egress: ["*.example.com", "one.example.org:443"], allowed_paths: [/workspace]}`,
				base:         docker + `, constraints: {network: egress-only, egress: [api.example.com, "*.b.example.com", example.com, one.example.org, other.example.net], allowed_paths: [/workspace/out, /workspaces]}`,
				asks:         ask, approvals: []string{"bob"},
			},
			rule: func(r *SandboxRules) {
				r.Constraints.Network, r.Constraints.Egress = "egress-only", []string{"one.example.org:443", "api.example.com", "*.b.example.com"}
				r.Constraints.AllowedPaths = []string{"/workspace/out"}
			},
		},
		"no host in common": {
			world: world{organization: docker + ", constraints: {network: egress-only, egress: [a.example.com]}", base: docker + ", constraints: {network: egress-only, egress: [b.example.com]}", asks: ask, approvals: []string{"bob"}},
			want:  "no host in common",
		},
		"no path in common": {
			world: world{organization: docker + ", constraints: {allowed_paths: [/workspace/a]}", base: docker + ", constraints: {allowed_paths: [/workspace/b]}", asks: ask, approvals: []string{"bob"}},
			want:  "no path in common",
		},
		"the repository's credentials": {
			world: world{organization: docker + ", constraints: {network: full}", base: docker + ", constraints: {network: full}, credentials: {api.example.com: model}", asks: ask, approvals: []string{"bob"}},
			rule: func(r *SandboxRules) {
				r.Constraints.Network, r.Credentials = "full", map[string]string{"api.example.com": "model"}
			},
		},
		"a branch with another credential": {
			world: world{base: docker + ", constraints: {network: full}", other: docker + ", constraints: {network: full}, credentials: {api.example.com: model}", asks: ask, approvals: []string{"bob"}},
			want:  "different credentials",
		},
		"two runtimes": {
			world: world{organization: docker + ", constraints: {runtime: runsc}", base: docker + ", constraints: {runtime: kata}", asks: ask, approvals: []string{"bob"}},
			want:  "isolated by runsc and by kata",
		},
	} {
		t.Run(name, func(t *testing.T) {
			author := people("ann")
			if c.byAgent {
				author = Actor{ID: 99, Login: "claude[bot]", Kind: KindBot}
			}
			in := Input{
				Snapshot: Snapshot{PullRequest: PullRequest{
					Ref: PullRequestRef{Repository: Repository{ID: 7, Owner: "acme", Name: "shop"}, Number: 1}, Author: author, HeadSHA: "bbbb", HeadRepositoryID: 7,
					BaseBranch: "main", Open: !c.closed, ChangedFiles: 1, CommitCount: 1,
				}, Files: []File{{Path: "README.md", Status: FileModified}}, Commits: []Commit{{SHA: "bbbb", Author: author, Committer: author}}},
				Standings: map[int64]Standing{}, Now: dayStart.Add(time.Hour),
			}
			for _, source := range []struct {
				place Place
				text  string
				is    bool
			}{
				{Place{Repository: "acme/.github", Path: DefaultPath, Organization: true}, c.organization, c.organization != ""},
				{Place{Repository: "acme/shop", Branch: "main", Path: DefaultPath}, c.base, true},
				{Place{Repository: "acme/shop", Branch: "release", Path: DefaultPath}, c.other, c.other != ""},
			} {
				if source.is {
					in.Policies = append(in.Policies, PolicySource{Place: source.place, Present: true, File: launchPolicy(t, source.text)})
				}
			}
			if c.fork {
				in.Snapshot.PullRequest.HeadRepositoryID = 8
			}
			if c.stopped {
				in.Stops = []Stop{{Scope: "acme/shop", Reason: "x"}}
			}
			if c.agentsStopped {
				in.Stops = []Stop{{Scope: "agents in acme/shop", Agents: true, Reason: "x"}}
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
			launch := LaunchSandbox(in, c.asks)
			if launch.Granted != (c.want == "") || !strings.Contains(launch.Why, c.want) || launch.Waits != c.waits {
				t.Fatalf("granted: %t, waits: %t, why: %q, want %q", launch.Granted, launch.Waits, launch.Why, c.want)
			}
			if launch.Granted {
				want := SandboxRules{Provider: "docker", Image: "a@" + digest, Tier: TierPeerReview, Start: StartOnRequest, Constraints: SandboxConstraints{Network: "none", Timeout: 30 * time.Minute}}
				if c.rule != nil {
					c.rule(&want)
				}
				if !reflect.DeepEqual(launch.Rule, want) || launch.HeadSHA != "bbbb" || launch.ByAgent != c.byAgent || len(launch.ApprovedBy) != len(c.approvals) {
					t.Errorf("got  %+v\nwant %+v\nin %+v", launch.Rule, want, launch)
				}
			}
			if got := in.stop(Decision{}).StartsSandbox; got != (c.want == "" && launch.Rule.Start == StartForAgents) {
				t.Errorf("started without being asked: %t", got)
			}
			if launch := LaunchSandbox(Input{}, c.asks); launch.Granted {
				t.Error("nothing known, and granted")
			}
		})
	}
}
