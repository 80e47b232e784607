package policy

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxSummaryLength is how many characters GitHub takes as a check run's summary.
const MaxSummaryLength = 65535

// maxTitleLength keeps the title to what a merge box shows.
const maxTitleLength = 250

// Title says the one thing that matters most: what is missing, who rejected, or
// why the gate is open.
func (d Decision) Title() string { return truncate(d.title(), maxTitleLength) }

func (d Decision) title() string {
	tier := string(d.Assessment.Tier)
	switch {
	case len(d.Stops) > 0:
		return d.Stops[0].String()
	case d.Fault != "":
		return firstLine(d.Fault)
	case len(d.Rejections) > 0:
		return rejectionSentence(d.Rejections[0])
	case d.Outcome == OutcomeOpen && d.Assessment.Tier == TierAuto:
		return fmt.Sprintf("auto: no approval needed (complexity %d of %d)", d.Assessment.Score.Value, MaxComplexity)
	case d.Outcome == OutcomeOpen:
		return tier + ": approved by " + names(d.Counted)
	case d.Hold != "":
		return tier + ": " + d.Hold
	case d.Outcome == OutcomeWaiting:
		return tier + ": " + d.approvalsMissing()
	default:
		return "closed: nothing was decided"
	}
}

// approvalsMissing says how many approvals are missing, and whose.
func (d Decision) approvalsMissing() string {
	var parts []string
	for i, requirement := range d.Assessment.Requirements {
		if i >= len(d.Missing) || d.Missing[i] == 0 {
			continue
		}
		more := ""
		if d.Missing[i] < requirement.Approvals || d.Missing[i] == 1 {
			more = "more "
		}
		parts = append(parts, fmt.Sprintf("%s from %s", countedNoun(d.Missing[i], more), requirement.From))
	}
	return strings.Join(parts, ", and ")
}

func countedNoun(n int, more string) string {
	if n == 1 {
		return "1 " + more + "approval"
	}
	return fmt.Sprintf("%d %sapprovals", n, more)
}

// Summary explains the decision in Markdown: tier and reasons, the score with
// every factor, and whose approval counts and whose does not. Text that comes
// from the pull request is shown as text and cannot format the page.
func (d Decision) Summary() string {
	var b strings.Builder
	d.writeStops(&b)
	if d.Fault != "" {
		fmt.Fprintf(&b, "**The gate is closed:** %s\n", plain(d.Fault))
	}
	if d.Assessment.Tier.Known() {
		d.writeTier(&b)
		d.writeVotes(&b)
		d.writeScore(&b)
	}
	if d.Policy != "" {
		fmt.Fprintf(&b, "\nPolicy: %s.\n", plain(d.Policy))
	}
	b.WriteString("\nComment `/portcullis help` for the commands you can use.\n")
	return truncate(b.String(), MaxSummaryLength)
}

func (d Decision) writeTier(b *strings.Builder) {
	fmt.Fprintf(b, "### Tier `%s`\n\n%s\n\n", d.Assessment.Tier, plain(d.needs()))
	for _, reason := range d.Assessment.Reasons {
		fmt.Fprintf(b, "- %s → `%s`\n", plain(reason.Why), reason.Tier)
	}
}

func (d Decision) needs() string {
	if len(d.Assessment.Requirements) == 0 {
		return "No approval is needed."
	}
	var parts []string
	for i, r := range d.Assessment.Requirements {
		part := fmt.Sprintf("%s from %s", countedNoun(r.Approvals, ""), r.From)
		if i < len(d.Missing) {
			part += fmt.Sprintf(" (%d missing)", d.Missing[i])
		}
		parts = append(parts, part)
	}
	return "Needs " + strings.Join(parts, ", and ") + "."
}

func (d Decision) writeVotes(b *strings.Builder) {
	if len(d.Counted)+len(d.Discounted)+len(d.Rejections) == 0 {
		return
	}
	b.WriteString("\n### Approvals\n\n| who | verdict | commit | counts |\n|---|---|---|---|\n")
	row := func(v Vote, counts string) {
		commit := "not known"
		if v.Commit != "" && v.Commit != UnknownCommit {
			commit = "`" + shortSHA(v.Commit) + "`"
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", plain(v.By.String()), v.Verdict, commit, plain(counts))
	}
	for _, v := range d.Rejections {
		row(v, "holds the gate closed"+reasonOf(v)+liftedInVain(v))
	}
	for _, c := range d.Counted {
		row(c.Vote, "yes")
	}
	for _, dis := range d.Discounted {
		row(dis.Vote, "no: "+dis.Why)
	}
}

func (d Decision) writeScore(b *strings.Builder) {
	fmt.Fprintf(b, "\n### Complexity %d of %d\n\n| factor | points | |\n|---|---|---|\n| every change | %d | |\n", d.Assessment.Score.Value, MaxComplexity, MinComplexity)
	for _, f := range d.Assessment.Score.Factors {
		fmt.Fprintf(b, "| %s | %d | %s |\n", f.Name, f.Points, plain(f.Detail))
	}
}

// Explain is the decision as a reply to a person: title and summary.
func (d Decision) Explain() string {
	return truncate("**"+plain(d.Title())+"**\n\n"+d.Summary(), MaxSummaryLength)
}

// Check is the check run that a decision asks for.
type Check struct {
	// Name is the check's name; branch protection requires it by this name.
	Name    string
	HeadSHA string
	// Outcome: open is shown as success, waiting as in progress, closed as failure.
	Outcome    Outcome
	Title      string
	Summary    string
	DetailsURL string
	// ExternalID names the pull request that the check was decided for.
	ExternalID string
	// Renewed asks for a run of its own in the place of the one before, which waits
	// for so long that GitHub would call it stale.
	Renewed bool
}

// Check renders the decision on ref as the check run of that name.
func (d Decision) Check(name string, ref PullRequestRef, detailsURL string) Check {
	return Check{
		Name: name, HeadSHA: d.HeadSHA, Outcome: d.Outcome, Title: d.Title(), Summary: d.Summary(),
		DetailsURL: detailsURL, ExternalID: ref.String(),
	}
}

func rejectionSentence(v Vote) string { return "rejected by " + v.By.String() + reasonOf(v) }

func reasonOf(v Vote) string {
	if v.Reason == "" {
		return ""
	}
	return ": " + firstLine(v.Reason)
}

// liftedInVain tells of somebody who took back a rejection and may not.
func liftedInVain(v Vote) string {
	if !v.LiftedBy.Known() {
		return ""
	}
	return "; " + v.LiftedBy.String() + " took it back, but only " + v.By.String() + " or somebody of a higher tier may"
}

func names(counted []CountedVote) string {
	logins := make([]string, len(counted))
	for i, c := range counted {
		logins[i] = c.Vote.By.String()
	}
	return strings.Join(logins, ", ")
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return strings.TrimSpace(line)
}

// markdownEscapes shows what people wrote, paths and labels included, as text:
// nothing formats the page, opens a tag, or notifies anybody.
var markdownEscapes = strings.NewReplacer(
	"\\", "\\\\", "`", "\\`", "*", "\\*", "_", "\\_", "[", "\\[", "]", "\\]", "|", "\\|", "#", "\\#", "~", "\\~",
	"<", "&lt;", ">", "&gt;", "@", "@\u200b", "\r", " ", "\n", "<br>",
)

func plain(s string) string { return markdownEscapes.Replace(s) }

// truncate cuts s to at most limit characters, at a character's edge.
func truncate(s string, limit int) string {
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	runes := []rune(s)
	return string(runes[:limit-1]) + "…"
}
