package app

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/portcullis-app/portcullis/internal/githubsim"
	"github.com/portcullis-app/portcullis/policy"
)

// oracle says what the check of a pull request must be. It is a second
// implementation of docs/policy.md, written for being read and not for being
// fast: from the simulator's true state, and from a ledger of what people did,
// for what GitHub does not show afterwards. It shares nothing with
// [policy.Decide] but the words: policy files and commands are parsed by their
// parsers.
type oracle struct {
	w *world
	// heads are the heads that each pull request had while it was open, by number.
	heads map[int][]headNote
	// words are what people said, by number, in the order in which they said it.
	words map[int][]*word
}

// headNote is that a commit became the head.
type headNote struct {
	sha  string
	at   time.Time
	by   string
	lost bool
}

// word is a comment or a review.
type word struct {
	id       int64
	by       string
	at       time.Time
	commit   string // what a review is about; empty for a comment
	verdicts []spoken
	taken    []taking
	lost     bool
	// shown is true of a review's own verdict, which GitHub goes on showing.
	shown bool
}

// spoken is one verdict: approve, reject or withdrawn. sha is what an approval
// names.
type spoken struct{ verdict, sha string }

// taking is that somebody edited or deleted a comment, or dismissed a review.
type taking struct {
	by   string
	seen bool // GitHub shows afterwards who did it
	lost bool
}

// doubt is something that a lost delivery leaves unknown to Portcullis.
type doubt struct {
	what string
	id   int64
}

// The doubts, each with what may be believed instead of the truth.
const (
	// A text whose delivery was lost, and which was edited or deleted since, may
	// never have spoken: GitHub does not show any more what it said.
	doubtUnheard = "never heard"
	// That a rejection in a comment was edited or deleted, and by whom, only the
	// delivery tells: without it the rejection may stand.
	doubtTaking = "taken back unheard"
	// Since when a head was one is not known if its delivery was lost: a comment
	// made after it may be about an unknown commit, and a commit that is named by
	// its first digits may be unknown.
	doubtHead = "unknown head"
	// Who pushed, only the delivery tells, unless the push was forced.
	doubtPusher = "unknown pusher"
	// Of pushes while it was closed nothing tells, nor which head the one at its
	// reopening replaced: a comment made before may be about an unknown commit.
	doubtReopened = "unknown before it was reopened"
)

// verdicts are the outcomes that the check of the pull request may have: the
// strictest of all open pull requests with the same head. There is more than
// one only if there are doubts.
func (o *oracle) verdicts(pr *githubsim.PullRequest) []string {
	allowed := []string{"open"}
	for _, other := range o.w.shop.PullRequests() {
		if other.State() != "open" || other.HeadSHA() != pr.HeadSHA() {
			continue
		}
		var both []string
		for _, a := range allowed {
			for _, b := range o.own(other) {
				both = append(both, stricter(a, b))
			}
		}
		slices.Sort(both)
		allowed = slices.Compact(both)
	}
	return allowed
}

func stricter(a, b string) string {
	for _, outcome := range []string{"closed", "waiting"} {
		if a == outcome || b == outcome {
			return outcome
		}
	}
	return "open"
}

// maxDoubts bounds how many doubts are thought through.
const maxDoubts = 10

// own are the outcomes that the pull request's own verdict may have.
func (o *oracle) own(pr *githubsim.PullRequest) []string {
	doubts := o.doubts(pr)
	if len(doubts) > maxDoubts {
		doubts = doubts[len(doubts)-maxDoubts:]
	}
	var found []string
	for chosen := range 1 << len(doubts) {
		believed := map[doubt]bool{}
		for i, d := range doubts {
			believed[d] = chosen&(1<<i) != 0
		}
		found = append(found, o.verdict(pr, believed))
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func (o *oracle) doubts(pr *githubsim.PullRequest) []doubt {
	var found []doubt
	for i, head := range o.heads[pr.Number()] {
		if head.lost {
			found = append(found, doubt{doubtHead, int64(i)}, doubt{doubtPusher, int64(i)})
		}
		if head.by == "" {
			found = append(found, doubt{doubtReopened, int64(i)})
		}
	}
	for _, w := range o.words[pr.Number()] {
		if w.lost && len(w.taken) > 0 && !w.shown && len(w.verdicts) > 0 {
			found = append(found, doubt{doubtUnheard, w.id})
		}
		rejects := slices.ContainsFunc(w.verdicts, func(s spoken) bool { return s.verdict == "reject" })
		if rejects && slices.ContainsFunc(w.taken, func(t taking) bool { return t.lost && !t.seen }) {
			found = append(found, doubt{doubtTaking, w.id})
		}
	}
	return found
}

// judging is one pull request under judgement.
type judging struct {
	*oracle
	pr       *githubsim.PullRequest
	about    githubsim.PullRequestDetails
	believed map[doubt]bool
	files    []policy.PolicyFile
	repaired bool
}

// mostCommits is how many commits of a pull request GitHub lists: one with more
// cannot be read whole.
const mostCommits = 250

func (o *oracle) verdict(pr *githubsim.PullRequest, believed map[doubt]bool) string {
	j := &judging{oracle: o, pr: pr, about: pr.Details(), believed: believed}
	if !j.readPolicies() || len(pr.Commits()) > mostCommits {
		return "closed"
	}
	needs := j.needs()
	approvers := map[string]bool{}
	for login, v := range j.latest() {
		switch {
		case v.verdict == "reject" && j.vetoes(login, v, needs):
			return "closed"
		case v.verdict == "approve" && j.counts(login, v):
			approvers[login] = true
		}
	}
	for _, need := range needs {
		have := 0
		for login := range approvers {
			if j.selects(need.From, login) {
				have++
			}
		}
		if have < need.Approvals {
			return "waiting"
		}
	}
	return "open"
}

// readPolicies finds the files that govern: the organization's, the default
// branch's, the base branch's. It is false if one is broken and not repaired.
func (j *judging) readPolicies() bool {
	type place struct {
		repo   *githubsim.Repository
		branch string
	}
	places := []place{{j.w.shop, "main"}}
	if j.about.Base != "main" {
		places = append(places, place{j.w.shop, j.about.Base})
	}
	if org := j.w.github.Repository("acme/.github"); org != nil {
		places = append(places, place{org, "main"})
	}
	for _, p := range places {
		text, ok := p.repo.File(p.branch, policy.DefaultPath)
		if !ok {
			continue
		}
		file, err := j.parse(text)
		if err != nil {
			mended, there := j.w.shop.File(j.about.HeadSHA, policy.DefaultPath)
			_, still := j.parse(mended)
			if p.repo != j.w.shop || p.branch != j.about.Base || !j.touches(policy.DefaultPath) || !there || still != nil {
				return false
			}
			j.repaired = true
			file = policy.DefaultPolicy()
		}
		j.files = append(j.files, file)
	}
	if len(j.files) == 0 {
		j.files = []policy.PolicyFile{policy.DefaultPolicy()}
	}
	return true
}

func (j *judging) parse(text string) (policy.PolicyFile, error) {
	file, err := policy.ParsePolicyFile(policy.DefaultPath, []byte(text))
	for _, team := range file.Teams() {
		if j.team(team) == nil {
			err = fmt.Errorf("no team %s", team)
		}
	}
	return file, err
}

func (j *judging) team(name string) *githubsim.Team {
	for _, t := range j.w.shop.Organization().Teams() {
		if name == "acme/"+t.Slug() {
			return t
		}
	}
	return nil
}

func (j *judging) touches(path string) bool {
	return slices.ContainsFunc(j.pr.Files(), func(f githubsim.FileChange) bool { return f.Path == path || f.Previous == path })
}

var tierOrder = []policy.ApprovalTier{"auto", "peer-review", "team-lead", "security-review"}

func higher(a, b policy.ApprovalTier) policy.ApprovalTier {
	return tierOrder[max(slices.Index(tierOrder, a), slices.Index(tierOrder, b))]
}

// needs are the requirements that must all be met: of each file that for the
// tier it sees itself, and that for the tier that holds.
func (j *judging) needs() []policy.Requirement {
	holds := policy.ApprovalTier("auto")
	for _, file := range j.files {
		holds = higher(holds, j.tier(file))
	}
	var needs []policy.Requirement
	for _, file := range j.files {
		for _, tier := range []policy.ApprovalTier{holds, j.tier(file)} {
			if tier != "auto" {
				needs = append(needs, file.Tiers[tier])
			}
		}
	}
	return needs
}

// tier is what one file sees.
func (j *judging) tier(file policy.PolicyFile) policy.ApprovalTier {
	protected := policy.Match{Paths: []string{policy.DefaultPath, ".github/workflows/**", "CODEOWNERS", ".github/CODEOWNERS", "docs/CODEOWNERS"}}
	sensitive := j.repaired || j.matches(protected) || j.matches(file.Classify.SecuritySensitive)
	if sensitive {
		return "security-review"
	}
	score := j.complexity(file)
	tier := tierOrder[0]
	switch {
	case score >= 9:
		tier = "security-review"
	case score >= 7:
		tier = "team-lead"
	case score >= 4:
		tier = "peer-review"
	}
	if j.matches(file.Classify.Infrastructure) {
		tier = higher(tier, "team-lead")
	}
	if j.byAgent([]policy.PolicyFile{file}) {
		tier = higher(tier, file.Classify.Agents.MinimumTier)
	}
	for _, c := range j.pr.Commits() {
		// The button's merge commits are GitHub's own, which has no account here.
		if j.w.github.User(c.Author) == nil || len(c.Parents) > 1 {
			tier = higher(tier, "peer-review")
		}
	}
	return tier
}

// complexity is the score of a change that is not security-sensitive, deletes no
// tests and adds no dependency.
func (j *judging) complexity(file policy.PolicyFile) int {
	files, lines, score := 0, 0, 1
	areas := map[string]bool{}
	for _, f := range j.pr.Files() {
		files++
		lines += f.Additions + f.Deletions
		for _, p := range []string{f.Path, f.Previous} {
			if p != "" {
				area, _, nested := strings.Cut(p, "/")
				areas[map[bool]string{true: area, false: "."}[nested]] = true
			}
		}
		if f.Additions+f.Deletions == 0 && f.Status != "renamed" {
			score += 2
		}
	}
	for _, limit := range []int{1, 5, 15, 40} {
		score += map[bool]int{true: 1}[files > limit]
	}
	for _, limit := range []int{10, 50, 200, 500} {
		score += map[bool]int{true: 1}[lines > limit]
	}
	for _, limit := range []int{2, 4} {
		score += map[bool]int{true: 1}[len(areas) > limit]
	}
	for _, m := range []policy.Match{file.Classify.APIChange, file.Classify.DatabaseMigration} {
		score += map[bool]int{true: 2}[j.matches(m)]
	}
	return score
}

func (j *judging) matches(m policy.Match) bool {
	for _, glob := range m.Paths {
		for _, f := range j.pr.Files() {
			if globbed(glob, f.Path) || f.Previous != "" && globbed(glob, f.Previous) {
				return true
			}
		}
	}
	for _, label := range m.Labels {
		if j.labels()[strings.ToLower(label)] {
			return true
		}
	}
	return false
}

// globbed knows the stars that the policies of these tests have.
func globbed(glob, path string) bool {
	pattern := regexp.QuoteMeta(glob)
	for _, r := range [][2]string{{`\*\*/`, `(.*/)?`}, {`/\*\*`, `(/.*)?`}, {`\*`, `[^/]*`}} {
		pattern = strings.ReplaceAll(pattern, r[0], strings.ReplaceAll(r[1], "*", "\x00"))
	}
	return regexp.MustCompile("^" + strings.ReplaceAll(pattern, "\x00", "*") + "$").MatchString(path)
}

// labels are those on the pull request, and those that only people took off who
// took part in it.
func (j *judging) labels() map[string]bool {
	on := map[string]bool{}
	for _, e := range j.pr.Timeline() {
		label := strings.ToLower(e.Subject)
		if e.Kind == "labeled" {
			on[label] = true
		}
		if e.Kind == "unlabeled" && !j.part(e.Actor) && !j.agent(e.Actor, j.files) {
			on[label] = false
		}
	}
	for _, label := range j.pr.Labels() {
		on[strings.ToLower(label)] = true
	}
	return on
}
