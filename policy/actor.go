package policy

import (
	"strings"
)

// ActorKind is an account's type, in GitHub's spelling.
type ActorKind string

// The kinds of account that act on pull requests. An account of any other kind
// is treated like a bot.
const (
	KindUser ActorKind = "User"
	KindBot  ActorKind = "Bot"
)

// Actor is a GitHub account. The zero Actor is nobody: what GitHub does not map
// to an account.
type Actor struct {
	// ID is GitHub's numeric id, which survives a rename. Two actors are the
	// same person if their ids are equal.
	ID    int64
	Login string
	Kind  ActorKind
}

// Known reports whether the actor is an account at all.
func (a Actor) Known() bool { return a.ID != 0 }

func (a Actor) String() string {
	if a.Login == "" {
		return "unknown account"
	}
	return a.Login
}

// webFlowID is the account that GitHub itself commits with when somebody
// presses a button: not a person, and no evidence of one.
const webFlowID = 19864447

// knownAgents are the accounts of coding agents by numeric id: names change
// hands, ids do not. Read 2026-11 from the accounts' public profiles.
var knownAgents = map[int64]string{
	209825114: "claude[bot]",
	198982749: "copilot-swe-agent[bot]",
	206951365: "cursor[bot]",
	215057067: "openai-codex[bot]",
	199175422: "chatgpt-codex-connector[bot]",
	158243242: "devin-ai-integration[bot]",
	176961590: "gemini-code-assist[bot]",
	208079219: "amazon-q-developer[bot]",
}

// knownAgentLogins covers servers on which the ids differ (GitHub Enterprise
// Server) and the names under which agents appear without the [bot] suffix.
var knownAgentLogins = func() map[string]bool {
	logins := map[string]bool{"copilot": true}
	for _, login := range knownAgents {
		logins[strings.ToLower(login)] = true
	}
	return logins
}()

// agentTrailerAddresses are the e-mail addresses that agents sign commits with.
// A trailer proves that an agent took part; its absence proves nothing.
var agentTrailerAddresses = []string{
	"noreply@anthropic.com",
	"cursoragent@cursor.com",
	"+copilot@users.noreply.github.com",
	"[bot]@users.noreply.github.com",
}

// IsAgent says why the account is an agent or another kind of machine, or
// returns "". Every account that is not of the kind User counts: an App's bot
// may be an agent, and unknown is closed. The policy's own list adds accounts
// that look like people.
func (a Agents) IsAgent(actor Actor) string {
	switch {
	case !actor.Known():
		return ""
	case knownAgents[actor.ID] != "":
		return actor.String() + " is a known agent"
	case knownAgentLogins[strings.ToLower(actor.Login)]:
		return actor.String() + " is a known agent"
	case containsFold(a.Users, actor.Login):
		return actor.String() + " is listed as an agent in the policy"
	case actor.Kind != KindUser:
		return actor.String() + " is a bot"
	default:
		return ""
	}
}

// tookPart reports whether there is evidence that an agent made the change or
// took part in it.
func (a Agents) tookPart(s Snapshot) bool { return len(a.Evidence(s)) > 0 }

// Evidence lists in sentences what says that an agent made the change or took
// part in it. It can only raise the tier.
func (a Agents) Evidence(s Snapshot) []string {
	var found []string
	add := func(why string) {
		if why != "" && !containsFold(found, why) {
			found = append(found, why)
		}
	}
	add(a.IsAgent(s.PullRequest.Author))
	if glob := firstMatch(a.Branches, s.PullRequest.HeadBranch); glob != "" {
		add("branch " + s.PullRequest.HeadBranch + " matches " + glob)
	}
	for _, commit := range s.Commits {
		add(a.IsAgent(commit.Author))
		if commit.Committer.ID != webFlowID {
			add(a.IsAgent(commit.Committer))
		}
		if trailer := agentTrailer(commit.Message); trailer != "" {
			add("commit " + shortSHA(commit.SHA) + " has the trailer " + trailer)
		}
	}
	return found
}

func agentTrailer(message string) string {
	for line := range strings.Lines(message) {
		line = strings.TrimSpace(line)
		lower := strings.ToLower(line)
		if strings.HasPrefix(lower, "assisted-by:") {
			return line
		}
		if !strings.HasPrefix(lower, "co-authored-by:") {
			continue
		}
		for _, address := range agentTrailerAddresses {
			if strings.Contains(lower, address+">") {
				return line
			}
		}
	}
	return ""
}

func containsFold(list []string, s string) bool {
	for _, item := range list {
		if strings.EqualFold(item, s) {
			return true
		}
	}
	return false
}

func shortSHA(sha string) string {
	if len(sha) > 7 {
		return sha[:7]
	}
	return sha
}
