package policy

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
)

// FuzzParsePolicyFile: any content gives either a policy that asks for somebody
// in every tier, or faults that point into the file.
func FuzzParsePolicyFile(f *testing.F) {
	f.Add(defaultYAML)
	if example, err := os.ReadFile("testdata/parse/design.yml"); err == nil {
		f.Add(example)
	}
	archives, _ := filepath.Glob("testdata/parse/*.txtar")
	for _, archive := range archives {
		if a, err := txtar.ParseFile(archive); err == nil {
			f.Add(fileOf(a, "policy.yml"))
		}
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		before := slices.Clone(content)
		file, err := ParsePolicyFile("policy.yml", content)
		if !slices.Equal(before, content) {
			t.Fatal("the content was changed")
		}
		if err != nil {
			checkFaults(t, file, err, content)
			return
		}
		checkComplete(t, file)
	})
}

func checkFaults(t *testing.T, file PolicyFile, err error, content []byte) {
	t.Helper()
	if !reflect.DeepEqual(file, PolicyFile{}) {
		t.Errorf("a file with faults was returned: %+v", file)
	}
	var faults Faults
	if !errors.As(err, &faults) || len(faults) == 0 {
		t.Fatalf("the error is %#v", err)
	}
	lines := 1 + strings.Count(string(content), "\n") + strings.Count(string(content), "\r")
	for i, fault := range faults {
		if fault.File != "policy.yml" || fault.Line < 1 || fault.Column < 1 || fault.Line > lines {
			t.Errorf("fault %s in a file of %d lines", fault, lines)
		}
		if fault.Message == "" || strings.ContainsAny(fault.Message, "\n\r\x00") {
			t.Errorf("message %q", fault.Message)
		}
		if i > 0 && (fault.Line < faults[i-1].Line || fault.Line == faults[i-1].Line && fault.Column < faults[i-1].Column) {
			t.Errorf("%s comes after %s", fault, faults[i-1])
		}
	}
}

func checkComplete(t *testing.T, file PolicyFile) {
	t.Helper()
	for _, tier := range []ApprovalTier{TierPeerReview, TierTeamLead, TierSecurityReview} {
		requirement := file.Tiers[tier]
		if requirement.Approvals < 1 || requirement.Approvals > maxApprovals || requirement.From.IsZero() || requirement.From.Permission == PermissionRead {
			t.Errorf("tier %s: %+v", tier, requirement)
		}
	}
	if len(file.Tiers) != 3 {
		t.Errorf("tiers: %v", file.Tiers)
	}
	if !file.Classify.Agents.MinimumTier.Known() || file.Approval.ExpiresAfter <= 0 || file.Approval.OnPush == "" {
		t.Errorf("agents %+v, approval %+v", file.Classify.Agents, file.Approval)
	}
	k := file.KillSwitch
	if k.Label == "" || k.Activate.IsZero() || k.Deactivate.From.IsZero() || k.Deactivate.Approvals < 1 || !slices.Contains(queueModes, k.MergeQueue) {
		t.Errorf("kill switch: %+v", k)
	}
	for name, c := range file.Credentials {
		longest, ok := SecretClass(c.Secret)
		if !ok || c.TTL <= 0 || c.TTL > longest || !c.Tier.Known() || c.Provider == "" {
			t.Errorf("credential %s: %+v", name, c)
		}
	}
	if s := file.Sandbox; s != nil {
		if !s.Tier.Known() || s.Provider == "" || s.Constraints.Timeout <= 0 || s.Constraints.Network == "" || (s.Provider != "codespaces" && s.Image == "") {
			t.Errorf("sandbox: %+v", *s)
		}
	}
}

// FuzzParseTTL holds that what is taken is above zero and within the limit.
func FuzzParseTTL(f *testing.F) {
	for _, text := range []string{"30m", "PT30M", "P1DT2H", "-5m", "PT999999999999H", "P", ""} {
		f.Add(text, int64(time.Hour))
	}
	f.Fuzz(func(t *testing.T, text string, limit int64) {
		ttl, err := ParseTTL(text, time.Duration(limit))
		if err == nil && (ttl <= 0 || ttl > time.Duration(limit)) {
			t.Errorf("%q is %s of at most %s", text, ttl, time.Duration(limit))
		}
	})
}
