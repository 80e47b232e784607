package app

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/portcullis-app/portcullis/internal/githubsim"
)

// history is a pull request to which things happen at random, and what must
// hold of them: who said yes to which head, as the person who did it knows it.
type history struct {
	*testWorld
	random *rand.Rand
	pr     *githubsim.PullRequest
	heads  []string
	// approved is the head that each person's latest word approved; empty: their
	// latest word was another.
	approved map[string]string
	comments map[int64]string
	reviews  map[int64]string
	log      []string
	// openings counts the times that Merge was allowed.
	openings int
}

// TestNoHistoryOpensTheGateWithoutAnApproval plays random histories with lost,
// repeated, held and reordered deliveries and with calls that fail before and
// after their effect. Whenever all is quiet, Merge is allowed only if somebody
// who may approve said so of this very head, and has not taken it back.
func TestNoHistoryOpensTheGateWithoutAnApproval(t *testing.T) {
	const histories, acts = 10, 30
	openings := 0
	for seed := range uint64(histories) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			h := &history{
				testWorld: newTestWorld(t), random: rand.New(rand.NewPCG(seed, 7)),
				approved: map[string]string{}, comments: map[int64]string{}, reviews: map[int64]string{},
			}
			h.pr = h.opened("ann", "search", searchFiles())
			h.heads = []string{h.pr.HeadSHA()}
			for range acts {
				h.disturb()
				h.act()
				if h.random.IntN(3) == 0 {
					h.quiet()
				}
			}
			h.quiet()
			openings += h.openings
		})
	}
	if openings == 0 {
		t.Error("the gate never opened: the histories show nothing")
	}
	t.Logf("the gate was open %d times", openings)
}

// disturb makes GitHub ill-tempered for a while.
func (h *history) disturb() {
	r := h.random
	switch r.IntN(6) {
	case 0:
		h.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{Hold: func(githubsim.Delivery) bool { return true }})
	case 1:
		h.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{Lose: func(d githubsim.Delivery) bool { return d.Event == "pull_request" }})
	case 2:
		h.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{Repeat: func(githubsim.Delivery) int { return 2 }})
	case 3:
		h.release()
	default:
		calls := []string{`/pulls/\d+$`, `/files$`, `/commits$`, `/reviews$`, `/contents/`, `/permission$`, `/check-runs`, `/reactions$`}
		h.github.Inject(githubsim.Fault{
			Path: regexp.MustCompile(calls[r.IntN(len(calls))]), Status: []int{0, 403, 429, 500, 502}[r.IntN(5)], After: r.IntN(2) == 0, Times: 1 + r.IntN(2),
		})
	}
}

// release delivers what was held, in any order.
func (h *history) release() {
	h.github.SetDeliveryKnobs(githubsim.DeliveryKnobs{})
	h.github.ReleaseHeld(func(held []githubsim.Delivery) []githubsim.Delivery {
		h.random.Shuffle(len(held), func(i, j int) { held[i], held[j] = held[j], held[i] })
		return held
	})
}

func (h *history) act() {
	r, person := h.random, []string{"bob", "lee"}[h.random.IntN(2)]
	u := h.github.User(person)
	note := func(what string) {
		h.log = append(h.log, fmt.Sprintf("%s %s at %.7s", person, what, h.pr.HeadSHA()))
	}
	switch r.IntN(9) {
	case 0:
		sha, err := h.shop.Push(h.github.User("ann"), "search", githubsim.Commit{Message: "more", Files: map[string]string{"catalogue/x.go": fmt.Sprintln(r.IntN(1000))}})
		h.must(err)
		h.heads = append(h.heads, sha)
		note("sees a push")
	case 1:
		_, err := h.shop.ForcePush(h.github.User("ann"), "search", h.heads[r.IntN(len(h.heads))])
		h.must(err)
		note("sees a force-push")
	case 2, 3:
		c, err := h.pr.Comment(u, "/approve")
		h.must(err)
		h.comments[c.ID], h.approved[person] = person, h.pr.HeadSHA()
		note("comments /approve")
	case 4:
		review, err := h.pr.Review(u, "APPROVE", "")
		h.must(err)
		h.reviews[review.ID], h.approved[person] = person, h.pr.HeadSHA()
		note("approves")
	case 5:
		_, err := h.pr.Review(u, "REQUEST_CHANGES", "no")
		h.must(err)
		h.approved[person] = ""
		note("requests changes")
	case 6:
		_, err := h.pr.Comment(u, []string{"/unapprove", "/reject no"}[r.IntN(2)])
		h.must(err)
		h.approved[person] = ""
		note("takes it back")
	case 7:
		_, err := h.pr.Comment(h.github.User("ann"), "/approve")
		h.must(err)
	case 8:
		_, err := h.pr.ReviewAt(u, "APPROVE", "", h.heads[0])
		if err == nil {
			h.approved[person] = h.heads[0]
			note("approves the first head")
		}
	}
}

// quiet lets everything arrive and be done, then looks.
func (h *history) quiet() {
	h.t.Helper()
	h.release()
	h.settled()
	// A lost webhook is made good at the next look.
	h.comment(h.pr, "bob", "/tier")
	if !h.pr.Mergeability(h.github.User("ann")).Allowed {
		return
	}
	h.openings++
	head := h.pr.HeadSHA()
	if !slices.Contains([]string{h.approved["bob"], h.approved["lee"]}, head) {
		h.t.Fatalf("Merge is allowed at %.7s without an approval of it: %s\n%s", head, h.check(h.pr), strings.Join(h.log, "\n"))
	}
	if run := newestRun(h.testWorld, h.pr); run.Conclusion != "success" || run.HeadSHA != head {
		h.t.Fatalf("Merge is allowed on %+v", run)
	}
}
