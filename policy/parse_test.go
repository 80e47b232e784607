package policy

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write the faults into testdata/parse as they are now")

// TestPolicyFileFaults reads one archive per mistake: policy.yml, and the faults
// it must give. Archives without faults must parse.
func TestPolicyFileFaults(t *testing.T) {
	archives, err := filepath.Glob("testdata/parse/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	for _, archive := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(archive), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(archive)
			if err != nil {
				t.Fatal(err)
			}
			content := fileOf(a, "policy.yml")
			file, err := ParsePolicyFile("policy.yml", content)
			got := ""
			if err != nil {
				got = err.Error() + "\n"
				if !reflect.DeepEqual(file, PolicyFile{}) {
					t.Errorf("a file with faults was returned: %+v", file)
				}
			}
			if *update {
				setFile(a, "faults", got)
				if err := os.WriteFile(archive, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if want := string(fileOf(a, "faults")); got != want {
				t.Errorf("faults:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func fileOf(a *txtar.Archive, name string) []byte {
	for _, f := range a.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}

func setFile(a *txtar.Archive, name, data string) {
	for i := range a.Files {
		if a.Files[i].Name == name {
			a.Files[i].Data = []byte(data)
			return
		}
	}
	a.Files = append(a.Files, txtar.File{Name: name, Data: []byte(data)})
}

func mustParse(t *testing.T, content string) PolicyFile {
	t.Helper()
	file, err := ParsePolicyFile("policy.yml", []byte(content))
	if err != nil {
		t.Fatalf("%v\n%s", err, content)
	}
	return file
}

func TestParseDesignExample(t *testing.T) {
	content, err := os.ReadFile("testdata/parse/design.yml")
	if err != nil {
		t.Fatal(err)
	}
	want := PolicyFile{
		Classify: Classify{
			SecuritySensitive: Match{Paths: []string{"**/auth/**", "**/*.pem"}, Labels: []string{"security"}},
			Infrastructure:    Match{Paths: []string{"deploy/**", "**/*.tf", "**/Dockerfile"}},
			APIChange:         Match{Paths: []string{"api/**"}},
			DatabaseMigration: Match{Paths: []string{"**/migrations/**"}},
			Agents:            Agents{Users: []string{"our-agent[bot]"}, Branches: []string{"agent/**"}, MinimumTier: TierPeerReview},
		},
		Tiers: map[ApprovalTier]Requirement{
			TierPeerReview:     {Approvals: 1, From: Who{Permission: PermissionWrite}},
			TierTeamLead:       {Approvals: 1, From: Who{Teams: []string{"acme/leads"}}},
			TierSecurityReview: {Approvals: 2, From: Who{Teams: []string{"acme/security"}, Users: []string{"alice"}}},
		},
		Approval: ApprovalRules{OnPush: OnPushDismiss, ExpiresAfter: 72 * time.Hour},
		KillSwitch: KillSwitchRules{
			Label:      "killswitch",
			Activate:   Who{Permission: PermissionTriage},
			Deactivate: Requirement{Approvals: 2, From: Who{Teams: []string{"acme/sre"}}},
			MergeQueue: QueueHalt,
		},
		Credentials: map[string]CredentialRule{"deploy": {
			Secret: "JIT_1H_DEPLOY", Provider: "opaque", Scope: []string{"deploy:staging"},
			TTL: 30 * time.Minute, Environment: "staging", Tier: TierTeamLead,
		}},
		Sandbox: &SandboxRules{
			Provider: "docker",
			Image:    "registry.example/agent@sha256:…",
			Constraints: SandboxConstraints{
				MemoryMB: 512, CPUPercent: 50, Network: "egress-only",
				Timeout: 30 * time.Minute, AllowedPaths: []string{"/workspace"},
			},
			Tier: TierPeerReview, Start: StartOnRequest,
		},
	}
	if got := mustParse(t, string(content)); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestDefaultPolicyRoundTrip(t *testing.T) {
	file := DefaultPolicy()
	if got := mustParse(t, string(defaultYAML)); !reflect.DeepEqual(got, file) {
		t.Errorf("default.yml over the default: got %+v, want %+v", got, file)
	}
	if got := mustParse(t, "version: 1\n"); !reflect.DeepEqual(got, file) {
		t.Errorf("a file without sections: got %+v, want %+v", got, file)
	}
	want := map[ApprovalTier]Requirement{
		TierPeerReview:     {Approvals: 1, From: Who{Permission: PermissionWrite}},
		TierTeamLead:       {Approvals: 1, From: Who{Permission: PermissionMaintain}},
		TierSecurityReview: {Approvals: 2, From: Who{Permission: PermissionMaintain}},
	}
	if !reflect.DeepEqual(file.Tiers, want) {
		t.Errorf("tiers: %+v", file.Tiers)
	}
	if file.Approval != (ApprovalRules{OnPush: OnPushDismiss, ExpiresAfter: 72 * time.Hour}) {
		t.Errorf("approval: %+v", file.Approval)
	}
	if file.Classify.Agents.MinimumTier != TierPeerReview || file.KillSwitch.Label != "killswitch" {
		t.Errorf("agents %+v, kill switch %+v", file.Classify.Agents, file.KillSwitch)
	}
	if file.KillSwitch.Activate.Permission != PermissionTriage ||
		!reflect.DeepEqual(file.KillSwitch.Deactivate, Requirement{Approvals: 1, From: Who{Permission: PermissionMaintain}}) {
		t.Errorf("kill switch: %+v", file.KillSwitch)
	}
	if file.Credentials != nil || file.Sandbox != nil {
		t.Error("the default policy must lend and start nothing")
	}
}

// TestDefaultPolicyIsTheCallers changes everything in one copy and looks for it
// in the next.
func TestDefaultPolicyIsTheCallers(t *testing.T) {
	mine := DefaultPolicy()
	mine.Classify.SecuritySensitive.Paths[0] = "nothing"
	mine.Classify.SecuritySensitive.Labels[0] = "nothing"
	mine.Classify.Infrastructure.Paths[0] = "nothing"
	mine.Classify.APIChange.Paths[0] = "nothing"
	mine.Classify.DatabaseMigration.Paths[0] = "nothing"
	mine.Classify.Agents.Branches[0] = "nothing"
	delete(mine.Tiers, TierSecurityReview)
	fresh := DefaultPolicy()
	if len(fresh.Tiers) != 3 {
		t.Errorf("tiers are shared: %v", fresh.Tiers)
	}
	c := fresh.Classify
	for _, list := range [][]string{
		c.SecuritySensitive.Paths, c.SecuritySensitive.Labels, c.Infrastructure.Paths,
		c.APIChange.Paths, c.DatabaseMigration.Paths, c.Agents.Branches,
	} {
		if list[0] == "nothing" {
			t.Errorf("a list is shared: %v", list)
		}
	}
}

func TestFileReplacesDefault(t *testing.T) {
	standard := DefaultPolicy()
	file := mustParse(t, `version: 1
classify:
  security_sensitive: {paths: [only/**]}
  infrastructure: {paths: []}
  agents: {users: [robot]}
tiers:
  team-lead: {approvals: 3, from: {users: [alice]}}
approval: {author: true}
kill_switch:
  deactivate: {teams: [acme/sre]}
`)
	if got := file.Classify.SecuritySensitive; !reflect.DeepEqual(got, Match{Paths: []string{"only/**"}}) {
		t.Errorf("a rule must be replaced as a whole: %+v", got)
	}
	if got := file.Classify.Infrastructure; len(got.Paths)+len(got.Labels) != 0 {
		t.Errorf("an empty list must be taken as given: %+v", got)
	}
	if !reflect.DeepEqual(file.Classify.APIChange, standard.Classify.APIChange) {
		t.Errorf("a rule left out: %+v", file.Classify.APIChange)
	}
	wantAgents := standard.Classify.Agents
	wantAgents.Users = []string{"robot"}
	if !reflect.DeepEqual(file.Classify.Agents, wantAgents) {
		t.Errorf("agents: %+v", file.Classify.Agents)
	}
	if !reflect.DeepEqual(file.Tiers[TierTeamLead], Requirement{Approvals: 3, From: Who{Users: []string{"alice"}}}) ||
		!reflect.DeepEqual(file.Tiers[TierSecurityReview], standard.Tiers[TierSecurityReview]) {
		t.Errorf("tiers: %+v", file.Tiers)
	}
	if !file.Approval.Author || file.Approval.ExpiresAfter != standard.Approval.ExpiresAfter {
		t.Errorf("approval: %+v", file.Approval)
	}
	if !reflect.DeepEqual(file.KillSwitch.Deactivate, Requirement{Approvals: 1, From: Who{Teams: []string{"acme/sre"}}}) ||
		file.KillSwitch.Label != "killswitch" {
		t.Errorf("kill switch: %+v", file.KillSwitch)
	}
}

func TestSectionDefaults(t *testing.T) {
	file := mustParse(t, `version: 1
credentials:
  ci: {secret: JIT_30M_CI, ttl: 30m}
sandbox: {provider: codespaces}
`)
	if got := file.Credentials["ci"]; !reflect.DeepEqual(got, CredentialRule{Secret: "JIT_30M_CI", Provider: ProviderOpaque, Scope: []string{"ci"}, TTL: 30 * time.Minute, Tier: TierTeamLead}) {
		t.Errorf("credential: %+v", got)
	}
	want := SandboxRules{Provider: "codespaces", Tier: TierPeerReview, Start: StartOnRequest, Constraints: SandboxConstraints{Network: "none", Timeout: 30 * time.Minute}}
	if file.Sandbox == nil || !reflect.DeepEqual(*file.Sandbox, want) {
		t.Errorf("sandbox: %+v", file.Sandbox)
	}
}

func TestFaultsAreAnError(t *testing.T) {
	_, err := ParsePolicyFile("a.yml", []byte("version: 2\nnonsense: 1\n"))
	var faults Faults
	if !errors.As(err, &faults) || len(faults) != 2 {
		t.Fatalf("got %#v", err)
	}
	if got, want := faults[0].String(), "a.yml:1:10: version must be the number 1, the only version there is, not 2"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := strings.Split(err.Error(), "\n"); len(got) != 2 || got[1] != faults[1].String() {
		t.Errorf("got %q", got)
	}
}

// TestManualExamples: what the manual shows as a policy file is one.
func TestManualExamples(t *testing.T) {
	manual, err := os.ReadFile("../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := strings.Split(string(manual), "```yaml\n")[1:]
	if len(examples) == 0 {
		t.Error("the manual has no example")
	}
	for _, example := range examples {
		content, _, _ := strings.Cut(example, "```")
		mustParse(t, content)
	}
}
